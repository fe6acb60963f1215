//! Timers: which are set, and which is due next. Ids and times only: the events stand in the log.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use waxwing_event::Position;

use crate::entry::slot;

/// The timers of a partition.
#[derive(Debug, Default)]
pub struct Timers {
    by_id: HashMap<Arc<str>, Timer>,
    due: BTreeSet<(Timestamp, Position, Arc<str>)>,
}

/// A timer whose event is not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// Where its entry stands, or stood before its event was parked: this names the event.
    pub position: Position,
    /// When it fires; none where it has fired.
    due: Option<Timestamp>,
}

/// What a timer is called among state keys, where claims and marks know both.
pub fn slot(id: &str) -> String {
    slot::of("timer", id)
}

impl Timers {
    /// Sets a timer; gives the one that it replaces.
    pub fn set(&mut self, id: &str, position: Position, due: Timestamp) -> Option<Timer> {
        let before = self.remove(id);
        let id: Arc<str> = id.into();
        self.due.insert((due, position, id.clone()));
        self.by_id.insert(id, Timer { position, due: Some(due) });
        before
    }

    /// A timer has fired before, and its event waits. One that is set under its id goes on beside it.
    pub fn has_fired(&mut self, id: &str, position: Position) {
        self.by_id.entry(id.into()).or_insert(Timer { position, due: None });
    }

    /// Forgets a timer that is cancelled.
    pub fn remove(&mut self, id: &str) -> Option<Timer> {
        let (id, timer) = self.by_id.remove_entry(id)?;
        if let Some(due) = timer.due {
            self.due.remove(&(due, timer.position, id));
        }
        Some(timer)
    }

    /// Forgets a timer whose event is handled, unless another is set under its id.
    pub fn end(&mut self, id: &str, position: Position) {
        if self.by_id.get(id).is_some_and(|timer| timer.position == position) {
            self.remove(id);
        }
    }

    /// The timer of this id.
    pub fn get(&self, id: &str) -> Option<Timer> {
        self.by_id.get(id).copied()
    }

    /// The timer that fires now.
    pub fn take_due(&mut self, now: Timestamp) -> Option<(Arc<str>, Position)> {
        self.due.first().filter(|(due, ..)| *due <= now)?;
        let (_, position, id) = self.due.pop_first()?;
        if let Some(timer) = self.by_id.get_mut(&id) {
            timer.due = None;
        }
        Some((id, position))
    }

    /// When the next one fires.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, ..)| *due)
    }

    /// How many are not handled.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn fired(timers: &mut Timers, now: i64) -> Vec<String> {
        std::iter::from_fn(|| timers.take_due(at(now))).map(|(id, _)| id.to_string()).collect()
    }

    #[test]
    fn fire_in_the_order_of_their_times() {
        let mut timers = Timers::default();
        for (id, position, due) in [("a", 1, 30), ("b", 2, 10), ("c", 3, 20)] {
            assert_eq!(timers.set(id, Position(position), at(due)), None);
        }
        assert_eq!(timers.next_due(), Some(at(10)));
        assert!(fired(&mut timers, 9).is_empty());
        assert_eq!(fired(&mut timers, 20), ["b", "c"]);
        assert_eq!(timers.len(), 3, "their events are not handled yet");
        timers.end("b", Position(2));
        timers.end("c", Position(2));
        assert_eq!(timers.len(), 2);
    }

    #[test]
    fn one_that_is_cancelled_or_set_anew_does_not_fire() {
        let mut timers = Timers::default();
        timers.set("a", Position(1), at(10));
        timers.set("b", Position(2), at(10));
        let replaced = timers.set("a", Position(3), at(30)).unwrap();
        assert_eq!(replaced.position, Position(1));
        assert!(timers.remove("b").is_some() && timers.remove("b").is_none());
        assert!(fired(&mut timers, 20).is_empty());
        assert_eq!(fired(&mut timers, 30), ["a"]);
        timers.has_fired("a", Position(9));
        assert_eq!(timers.get("a").unwrap().position, Position(3));
        timers.end("a", Position(3));
        assert!(timers.is_empty() && timers.next_due().is_none());
    }

    #[test]
    fn a_slot_is_no_state_key() {
        assert!(waxwing_event::effect::check_state_key(&slot("a")).is_err());
        assert_ne!(slot("a"), slot("b"));
    }
}
