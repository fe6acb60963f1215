//! What a partition has read and handled: a watermark, and a window of inputs above it.

use std::collections::{BTreeSet, VecDeque};

use waxwing_event::Position;

/// Names an input within the window, cheaper to find than by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Inputs between the watermark and the end of what was read, with something kept for each that is open.
#[derive(Debug)]
pub struct Progress<T> {
    watermark: Position,
    /// The ticket of the window's first input.
    first: u64,
    window: VecDeque<Slot<T>>,
    /// Handled inputs above the watermark that no entry tells of.
    unrecorded: BTreeSet<Position>,
}

#[derive(Debug)]
struct Slot<T> {
    position: Position,
    open: Option<T>,
    /// False for one that is not to be told of: it is known elsewhere whether it is handled.
    is_ours: bool,
}

impl<T> Progress<T> {
    /// Nothing read since `watermark`.
    pub fn new(watermark: Position) -> Progress<T> {
        Progress { watermark, first: 0, window: VecDeque::new(), unrecorded: BTreeSet::new() }
    }

    /// Every input up to here is handled.
    pub fn watermark(&self) -> Position {
        self.watermark
    }

    /// How many inputs the window holds, open or handled.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// True where all that was read is handled.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Takes up an input. Positions must grow.
    pub fn open(&mut self, position: Position, value: T) -> Ticket {
        let ticket = Ticket(self.first.saturating_add(self.window.len() as u64));
        self.window.push_back(Slot { position, open: Some(value), is_ours: true });
        ticket
    }

    /// Takes note of an input that was handled before this window began.
    pub fn skip(&mut self, position: Position) {
        self.window.push_back(Slot { position, open: None, is_ours: true });
        self.advance();
    }

    /// Takes note of an input that is somebody else's.
    pub fn pass(&mut self, position: Position) {
        self.window.push_back(Slot { position, open: None, is_ours: false });
        self.advance();
    }

    /// What is kept for an open input.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.slot(ticket)?.open.as_mut()
    }

    /// Closes an input. `recorded`: an entry of the log tells that it is handled.
    pub fn handled(&mut self, ticket: Ticket, recorded: bool) -> Option<T> {
        let slot = self.slot(ticket)?;
        let value = slot.open.take();
        let position = slot.position;
        if !recorded {
            self.unrecorded.insert(position);
        }
        self.advance();
        value
    }

    /// Up to `limit` handled inputs above the watermark that no entry tells of.
    pub fn unrecorded(&self, limit: usize) -> impl Iterator<Item = Position> {
        self.unrecorded.iter().copied().take(limit)
    }

    /// An entry now tells of these.
    pub fn recorded(&mut self, positions: &[Position]) {
        for position in positions {
            self.unrecorded.remove(position);
        }
    }

    /// Handled inputs above the watermark.
    pub fn handled_above(&self) -> Vec<Position> {
        let is_handled = |slot: &&Slot<T>| slot.open.is_none() && slot.is_ours;
        self.window.iter().filter(is_handled).map(|slot| slot.position).collect()
    }

    /// What is kept for the open inputs, oldest first.
    pub fn open_inputs(&self) -> impl Iterator<Item = &T> {
        self.window.iter().filter_map(|slot| slot.open.as_ref())
    }

    fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot<T>> {
        let index = ticket.0.checked_sub(self.first)?;
        self.window.get_mut(usize::try_from(index).ok()?)
    }

    fn advance(&mut self) {
        while let Some(slot) = self.window.pop_front_if(|slot| slot.open.is_none()) {
            self.watermark = slot.position;
            self.first = self.first.saturating_add(1);
        }
        if self.unrecorded.first().is_some_and(|first| *first <= self.watermark) {
            self.unrecorded = self.unrecorded.split_off(&self.watermark.next());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_watermark_waits_for_the_oldest_open_input() {
        let mut progress = Progress::new(Position(10));
        let tickets: Vec<Ticket> = [11, 15, 20].map(|p| progress.open(Position(p), p)).to_vec();
        assert_eq!(progress.handled(tickets[1], false), Some(15));
        assert_eq!(progress.watermark(), Position(10));
        assert_eq!(progress.handled_above(), [Position(15)]);
        assert_eq!(progress.unrecorded(9).collect::<Vec<_>>(), [Position(15)]);
        progress.handled(tickets[0], true);
        assert_eq!(progress.watermark(), Position(15));
        assert_eq!(progress.unrecorded(9).count(), 0);
        assert_eq!(progress.get_mut(tickets[1]), None);
        assert_eq!(progress.open_inputs().collect::<Vec<_>>(), [&20]);
        progress.handled(tickets[2], true);
        progress.skip(Position(30));
        assert_eq!((progress.watermark(), progress.is_empty()), (Position(30), true));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(order in Just((0..20u64).collect::<Vec<_>>()).prop_shuffle(), done in 0..20usize) {
            let mut progress = Progress::new(Position(100));
            let tickets: Vec<Ticket> = (0..20).map(|i| progress.open(Position(101 + 2 * i), i)).collect();
            let handled: BTreeSet<u64> = order.into_iter().take(done).collect();
            for i in &handled {
                prop_assert_eq!(progress.handled(tickets[*i as usize], i % 2 == 0), Some(*i));
            }
            let first_open = (0..20).find(|i| !handled.contains(i)).unwrap_or(20);
            let watermark = if first_open == 0 { 100 } else { 99 + 2 * first_open };
            prop_assert_eq!(progress.watermark(), Position(watermark));
            let above: Vec<Position> = handled.iter().filter(|i| **i > first_open).map(|i| Position(101 + 2 * i)).collect();
            prop_assert_eq!(progress.handled_above(), above);
        }
    }
}
