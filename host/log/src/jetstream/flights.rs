//! Commits on their way, by the token in their reply subject.
//!
//! Tokens are given out in order and most acknowledgements come in that order, so flights lie in a ring:
//! token minus the first token is the place.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{group::Group, promise::Promise};

/// Who waits for an answer.
pub(super) enum Cargo {
    /// One commit.
    One(Promise),
    /// Commits that share a fence.
    Group(Group),
}

impl Cargo {
    fn sent(&mut self) {
        match self {
            Cargo::One(promise) => promise.sent(),
            Cargo::Group(group) => group.sent(),
        }
    }

    /// Tells that no answer came.
    pub(super) fn lost(self, why: &str) {
        match self {
            Cargo::One(promise) => promise.lost(why),
            Cargo::Group(group) => group.lost(why),
        }
    }
}

struct Flight {
    cargo: Cargo,
    deadline: Instant,
}

/// All that has been sent, or is being sent, and is not answered.
#[derive(Default)]
pub(super) struct Flights {
    ring: VecDeque<Option<Flight>>,
    first: u64,
}

impl Flights {
    /// Takes one in; the token is its own for ever. Deadlines must not lie before earlier ones.
    pub(super) fn open(&mut self, cargo: Cargo, deadline: Instant) -> u64 {
        let token = self.first.saturating_add(u64::try_from(self.ring.len()).unwrap_or(u64::MAX));
        self.ring.push_back(Some(Flight { cargo, deadline }));
        token
    }

    /// True until its end.
    pub(super) fn is_open(&self, token: u64) -> bool {
        self.index(token).and_then(|index| self.ring.get(index)).is_some_and(Option::is_some)
    }

    /// Notes that all of it has been handed to the client.
    pub(super) fn sent(&mut self, token: u64) {
        let index = self.index(token);
        if let Some(Some(flight)) = index.and_then(|index| self.ring.get_mut(index)) {
            flight.cargo.sent();
        }
    }

    /// Takes one out, to be told its end.
    pub(super) fn close(&mut self, token: u64) -> Option<Cargo> {
        let index = self.index(token)?;
        let flight = self.ring.get_mut(index)?.take();
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.first += 1;
        }
        flight.map(|flight| flight.cargo)
    }

    /// Takes out one whose deadline has passed.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Cargo> {
        match self.ring.front() {
            Some(Some(flight)) if flight.deadline <= now => self.close(self.first),
            _ => None,
        }
    }

    /// Takes out all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Cargo> {
        let ring = std::mem::take(&mut self.ring);
        self.first = self.first.saturating_add(u64::try_from(ring.len()).unwrap_or(u64::MAX));
        ring.into_iter().flatten().map(|flight| flight.cargo)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    fn index(&self, token: u64) -> Option<usize> {
        usize::try_from(token.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use waxwing_engine::port::log::{CommitError, Committed};
    use waxwing_event::Position;

    use super::*;

    type Ends = Arc<Mutex<Vec<Result<Committed, CommitError>>>>;

    fn cargo(ends: &Ends) -> Cargo {
        let ends = ends.clone();
        Cargo::One(Promise::new(Box::new(move |end| ends.lock().unwrap().push(end))))
    }

    #[test]
    fn finds_flights_by_token_in_any_order() {
        let (mut flights, ends, now) = (Flights::default(), Ends::default(), Instant::now());
        let tokens: Vec<u64> = (0..3).map(|_| flights.open(cargo(&ends), now)).collect();
        assert_eq!(tokens, [0, 1, 2]);
        for token in [1, 0] {
            let Some(Cargo::One(promise)) = flights.close(token) else { panic!() };
            promise.end(Ok(Committed { last: Position(token) }));
        }
        assert!(flights.close(1).is_none() && flights.is_open(2));
        assert_eq!(flights.open(cargo(&ends), now), 3);
        assert_eq!(ends.lock().unwrap().len(), 2);
    }

    #[test]
    fn gives_up_what_is_overdue_in_order() {
        let (mut flights, ends, now) = (Flights::default(), Ends::default(), Instant::now());
        flights.open(cargo(&ends), now);
        let late = flights.open(cargo(&ends), now + Duration::from_secs(1));
        flights.overdue(now).unwrap().lost("late");
        assert!(flights.overdue(now).is_none() && flights.is_open(late));
    }

    #[test]
    fn tells_each_its_end_and_whether_it_may_be_written() {
        let (mut flights, ends) = (Flights::default(), Ends::default());
        let sent = flights.open(cargo(&ends), Instant::now());
        flights.open(cargo(&ends), Instant::now());
        flights.sent(sent);
        flights.drain().for_each(|cargo| cargo.lost("gone"));
        assert!(flights.is_empty());
        let [Err(CommitError::Unknown(_)), Err(CommitError::Unavailable(_))] = &ends.lock().unwrap()[..]
        else {
            panic!("{ends:?}");
        };
    }

    #[test]
    fn a_dropped_promise_ends_too() {
        let ends = Ends::default();
        drop(cargo(&ends));
        assert_eq!(ends.lock().unwrap().len(), 1);
    }
}
