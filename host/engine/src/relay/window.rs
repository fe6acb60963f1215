//! The window: events on their way out, in the order of the log.
//!
//! Undisturbed, many are on their way at once. After a failure only one is, until all that were in the window
//! at that time are out: so what failed is not overtaken by more than was already under way.

use std::{collections::VecDeque, num::NonZeroU32};

use waxwing_event::Position;

use super::verdict::Failures;
use crate::{
    entry::Outgoing,
    port::outside::{Message, SendError},
};

/// The most bytes of events in the window; one event alone may be larger.
const MAX_BYTES: usize = 8 << 20;

/// Names an event in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct Item {
    outgoing: Outgoing,
    stage: Stage,
    failures: Failures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    UnderWay,
    Out,
}

/// Events that are not all out, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    items: VecDeque<Item>,
    /// The ticket of the oldest.
    first: u64,
    /// Every entry of the outbox up to here is out.
    relayed: Position,
    limit: usize,
    under_way: usize,
    bytes: usize,
    /// Until the oldest has this ticket, one goes at a time.
    careful_until: u64,
}

impl Window {
    /// Nothing read since `relayed`; up to `limit` are on their way at once.
    pub(super) fn new(relayed: Position, limit: NonZeroU32) -> Window {
        let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let (items, first, under_way, bytes, careful_until) = Default::default();
        Window { items, first, relayed, limit, under_way, bytes, careful_until }
    }

    /// Every entry of the outbox up to here is out, or set aside.
    pub(super) fn relayed(&self) -> Position {
        self.relayed
    }

    /// The oldest that is not out.
    pub(super) fn oldest(&self) -> Option<&Outgoing> {
        self.items.front().map(|item| &item.outgoing)
    }

    /// True where the ticket is the oldest one's.
    pub(super) fn is_oldest(&self, ticket: Ticket) -> bool {
        ticket.0 == self.first
    }

    /// How many more it takes: enough to send one as soon as another is out.
    pub(super) fn room(&self) -> usize {
        match self.bytes {
            0..MAX_BYTES => self.limit.saturating_mul(2).saturating_sub(self.items.len()),
            _ => 0,
        }
    }

    /// How many are not out.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// True where nothing is on its way.
    pub(super) fn is_still(&self) -> bool {
        self.under_way == 0
    }

    /// Takes in what was read, in its order.
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.bytes = self.bytes.saturating_add(outgoing.message.size_bytes());
        self.items.push_back(Item { outgoing, stage: Stage::Waiting, failures: Failures::default() });
    }

    /// The next that goes now, if one does.
    pub(super) fn next(&mut self) -> Option<(Ticket, Message)> {
        let limit = if self.first < self.careful_until { 1 } else { self.limit };
        if self.under_way >= limit {
            return None;
        }
        let (item, ticket) =
            self.items.iter_mut().zip(self.first..).find(|(item, _)| item.stage == Stage::Waiting)?;
        item.stage = Stage::UnderWay;
        self.under_way += 1;
        Some((Ticket(ticket), item.outgoing.message.clone()))
    }

    /// One is out, or set aside.
    pub(super) fn out(&mut self, ticket: Ticket) {
        let Some(item) = self.item(ticket) else { return };
        item.stage = Stage::Out;
        self.under_way = self.under_way.saturating_sub(1);
        while let Some(item) = self.items.pop_front_if(|item| item.stage == Stage::Out) {
            self.relayed = item.outgoing.position;
            self.bytes = self.bytes.saturating_sub(item.outgoing.message.size_bytes());
            self.first = self.first.saturating_add(1);
        }
    }

    /// One has failed and waits again; gives how often it has.
    pub(super) fn failed(&mut self, ticket: Ticket, error: &SendError) -> Failures {
        let refused = matches!(error, SendError::Refused(_));
        let end = self.first.saturating_add(self.items.len() as u64);
        let Some(item) = self.item(ticket) else { return Failures::default() };
        item.stage = Stage::Waiting;
        item.failures.all = item.failures.all.saturating_add(1);
        item.failures.refusals = item.failures.refusals.saturating_add(u32::from(refused));
        let failures = item.failures;
        self.under_way = self.under_way.saturating_sub(1);
        self.careful_until = end;
        failures
    }

    /// Holds one back from being sent: it is about to be set aside. Ends with [`Window::out`].
    pub(super) fn hold(&mut self, ticket: Ticket) -> Option<Outgoing> {
        let item = self.item(ticket)?;
        item.stage = Stage::UnderWay;
        let outgoing = item.outgoing.clone();
        self.under_way += 1;
        Some(outgoing)
    }

    fn item(&mut self, ticket: Ticket) -> Option<&mut Item> {
        let index = ticket.0.checked_sub(self.first)?;
        self.items.get_mut(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use waxwing_event::{Headers, Subject, handler::Audience};

    use super::*;

    fn outgoing(position: u64) -> Outgoing {
        let message = Message {
            id: position.to_string(),
            subject: Subject::from_checked("a.b"),
            audience: Audience::Stream,
            headers: Headers::new(),
            payload: "payload".into(),
        };
        Outgoing { position: Position(position), time: Timestamp::UNIX_EPOCH, message }
    }

    fn window(limit: u32, count: u64) -> Window {
        let mut window = Window::new(Position(10), NonZeroU32::new(limit).unwrap());
        (0..count).for_each(|i| window.push(outgoing(11 + 2 * i)));
        window
    }

    fn go(window: &mut Window) -> Vec<(Ticket, u64)> {
        let all = std::iter::from_fn(|| window.next());
        all.map(|(ticket, message)| (ticket, message.id.parse().unwrap())).collect()
    }

    fn away() -> SendError {
        SendError::Away("x".into())
    }

    #[test]
    fn as_many_go_as_may_and_the_oldest_that_is_not_out_bounds_what_is_relayed() {
        let mut window = window(2, 4);
        assert_eq!(window.room(), 0);
        let first = go(&mut window);
        assert_eq!(first.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [11, 13]);
        window.out(first[1].0);
        assert_eq!((window.relayed(), window.room()), (Position(10), 0));
        assert_eq!(go(&mut window)[0].1, 15);
        window.out(first[0].0);
        assert_eq!((window.relayed(), window.room()), (Position(13), 2));
        assert_eq!(window.oldest().unwrap().position, Position(15));
    }

    #[test]
    fn after_a_failure_one_goes_at_a_time_until_all_that_were_there_are_out() {
        let mut window = window(3, 4);
        let [(a, _), (b, _), (c, _)] = go(&mut window)[..] else { panic!() };
        assert_eq!(window.failed(a, &away()), Failures { all: 1, refusals: 0 });
        assert_eq!(go(&mut window), [], "what is under way comes first");
        window.out(b);
        window.out(c);
        assert!(window.is_still() && window.is_oldest(a));
        assert_eq!(go(&mut window), [(a, 11)]);
        assert_eq!(window.failed(a, &SendError::Refused("x".into())), Failures { all: 2, refusals: 1 });
        assert_eq!(go(&mut window), [(a, 11)]);
        window.out(a);
        assert_eq!(window.relayed(), Position(15));
        [19, 21, 23].into_iter().for_each(|position| window.push(outgoing(position)));
        let alone = go(&mut window);
        assert_eq!(alone.len(), 1, "it was there when the first failed");
        window.out(alone[0].0);
        assert_eq!(go(&mut window).len(), 3);
    }

    #[test]
    fn what_is_set_aside_is_not_sent_meanwhile() {
        let mut window = window(2, 2);
        let (a, _) = window.next().unwrap();
        window.failed(a, &away());
        assert_eq!(window.hold(a).unwrap().position, Position(11));
        assert_eq!(go(&mut window), []);
        window.out(a);
        assert_eq!((window.relayed(), go(&mut window).len()), (Position(11), 1));
    }

    #[test]
    fn takes_no_more_than_its_bytes() {
        let mut window = window(100, 0);
        let mut large = outgoing(11);
        large.message.payload = vec![0; MAX_BYTES].into();
        window.push(large);
        assert_eq!(window.room(), 0);
        let (ticket, _) = window.next().unwrap();
        window.out(ticket);
        assert_eq!(window.room(), 200);
    }

    proptest! {
        #[test]
        fn whatever_fails_all_go_out_and_each_is_sent_again_only_after_a_failure(
            limit in 1u32..6, ends in prop::collection::vec((0usize..6, any::<bool>()), 0..200)
        ) {
            let mut window = window(limit, 20);
            let (mut under_way, mut sent, mut failed) = (Vec::new(), 0, 0);
            let mut ends = ends.into_iter();
            while window.oldest().is_some() {
                let more = go(&mut window);
                sent += more.len();
                under_way.extend(more);
                let (which, fails) = ends.next().unwrap_or((0, false));
                let (ticket, _) = under_way.remove(which % under_way.len());
                if fails {
                    failed += 1;
                    window.failed(ticket, &away());
                } else {
                    window.out(ticket);
                }
            }
            prop_assert!(window.is_still());
            prop_assert_eq!((window.relayed(), sent), (Position(49), 20 + failed));
        }
    }
}
