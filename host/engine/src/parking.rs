//! Parking: which events wait outside the window, and which of them may run.
//!
//! An event is parked until its next attempt is due, or behind another of its key. Of each key only the oldest
//! may run, and not while a dead letter of the key that is older still waits for somebody's decision. Times
//! and orders only: the events themselves stand in the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use waxwing_event::Position;

use crate::lane::Key;

/// So many events of a key may be parked before those that follow are parked too, rather than kept in memory
/// until the key is through.
const MAX_FOLLOWED: usize = 16;

/// The parked events of a partition.
#[derive(Debug, Default)]
pub struct Parking {
    events: BTreeMap<Position, Parked>,
    lots: HashMap<Key, Lot>,
    /// Events of dead letters that hold their key.
    letters: HashMap<Position, Letter>,
    /// Those that may run when their time has come.
    due: BTreeSet<(Timestamp, Position)>,
}

/// A parked event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// What keeps it in order.
    pub key: Option<Key>,
    /// When it may run.
    pub due: Timestamp,
    /// Handled inputs above the watermark of which its entry tells.
    pub told: Vec<Position>,
    /// Where it is.
    pub stage: Stage,
}

/// Where a parked event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its entry is being written.
    Writing,
    /// Its entry stands in the log.
    Waiting,
    /// It runs.
    Running,
}

/// A dead letter that holds its key.
#[derive(Debug)]
struct Letter {
    key: Key,
    /// Its entry stands above this position.
    after: Position,
}

/// The parked events and dead letters of one key.
#[derive(Debug, Default)]
struct Lot {
    events: BTreeSet<Position>,
    letters: BTreeSet<Position>,
    /// Something of the key runs that is not parked.
    busy: bool,
    /// The parked event that runs: one that is older may be redriven meanwhile, and waits for its end.
    running: Option<Position>,
    /// The event whose entry is being written.
    writing: Option<Position>,
}

impl Lot {
    /// The event neither runs nor is it written.
    fn rests(&mut self, position: Position) {
        for active in [&mut self.running, &mut self.writing] {
            if *active == Some(position) {
                *active = None;
            }
        }
    }
}

impl Parking {
    /// Parks an event. `busy`: something of its key runs that is not parked.
    pub fn park(&mut self, position: Position, parked: Parked, busy: bool) {
        self.forget_due(position);
        let (key, stage) = (parked.key.clone(), parked.stage);
        self.events.insert(position, parked);
        match key {
            Some(key) => {
                let lot = self.lots.entry(key.clone()).or_default();
                lot.events.insert(position);
                lot.busy = busy;
                lot.rests(position);
                if stage == Stage::Writing {
                    lot.writing = Some(position);
                }
                self.refresh(&key);
            }
            None => self.consider(position),
        }
    }

    /// Its entry stands in the log now.
    pub fn written(&mut self, position: Position, told: Vec<Position>) {
        if let Some(event) = self.events.get_mut(&position) {
            event.stage = Stage::Waiting;
            event.told = told;
            if let Some(lot) = event.key.as_ref().and_then(|key| self.lots.get_mut(key)) {
                lot.rests(position);
            }
        }
        self.look_at(position);
    }

    /// It ran, and waits on as before.
    pub fn put_back(&mut self, position: Position, due: Timestamp) {
        if let Some(event) = self.events.get_mut(&position) {
            event.stage = Stage::Waiting;
            event.due = due;
            if let Some(lot) = event.key.as_ref().and_then(|key| self.lots.get_mut(key)) {
                lot.rests(position);
            }
        }
        self.look_at(position);
    }

    /// It is parked no more.
    pub fn remove(&mut self, position: Position) -> Option<Parked> {
        self.forget_due(position);
        let event = self.events.remove(&position)?;
        if let Some(key) = &event.key {
            if let Some(lot) = self.lots.get_mut(key) {
                lot.events.remove(&position);
                lot.rests(position);
            }
            self.refresh(key);
        }
        Some(event)
    }

    /// A dead letter, whose entry stands above `after`, holds its key from now on.
    pub fn hold(&mut self, position: Position, key: &Key, after: Position, busy: bool) {
        self.letters.insert(position, Letter { key: key.clone(), after });
        let lot = self.lots.entry(key.clone()).or_default();
        lot.letters.insert(position);
        lot.busy = busy;
        self.refresh(key);
    }

    /// True where a dead letter of the event holds its key.
    pub fn has_letter(&self, position: Position) -> bool {
        self.letters.contains_key(&position)
    }

    /// The entry at `by` says that a dead letter is gone; gives the key that it held until now.
    pub fn let_go(&mut self, position: Position, by: Position) -> Option<Key> {
        if by <= self.letters.get(&position)?.after {
            // It was told of a former letter of the same event.
            return None;
        }
        let Letter { key, .. } = self.letters.remove(&position)?;
        if let Some(lot) = self.lots.get_mut(&key) {
            lot.letters.remove(&position);
        }
        self.refresh(&key);
        Some(key)
    }

    /// Nothing of the key runs any more but what is parked.
    pub fn not_busy(&mut self, key: &Key) {
        if let Some(lot) = self.lots.get_mut(key) {
            lot.busy = false;
            self.refresh(key);
        }
    }

    /// The event whose time has come first.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Position> {
        let (_, position) = *self.due.first().filter(|(due, _)| *due <= now)?;
        self.due.pop_first();
        if let Some(event) = self.events.get_mut(&position) {
            event.stage = Stage::Running;
            if let Some(lot) = event.key.as_ref().and_then(|key| self.lots.get_mut(key)) {
                lot.running = Some(position);
            }
        }
        Some(position)
    }

    /// When the next event may run.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A parked event.
    pub fn get(&self, position: Position) -> Option<&Parked> {
        self.events.get(&position)
    }

    /// True where events of the key are parked or a dead letter holds it.
    pub fn has(&self, key: &Key) -> bool {
        self.lots.contains_key(key)
    }

    /// True where what arrives of the key must be parked: it would have to wait long.
    pub fn is_blocked(&self, key: &Key, now: Timestamp) -> bool {
        let Some(lot) = self.lots.get(key) else { return false };
        if lot.events.len() > MAX_FOLLOWED || !lot.letters.is_empty() {
            return true;
        }
        let head = lot.events.first().and_then(|head| self.events.get(head));
        head.is_some_and(|head| match head.stage {
            Stage::Writing => true,
            Stage::Waiting => head.due > now,
            Stage::Running => false,
        })
    }

    /// True while the entry of one of the key's events is being written.
    pub fn is_writing(&self, key: &Key) -> bool {
        self.lots.get(key).is_some_and(|lot| lot.writing.is_some())
    }

    /// How many events are parked.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// True where none is.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many keys have parked events or are held by a dead letter.
    pub fn keys(&self) -> usize {
        self.lots.len()
    }

    fn look_at(&mut self, position: Position) {
        match self.events.get(&position).map(|event| event.key.clone()) {
            Some(Some(key)) => self.refresh(&key),
            Some(None) => self.consider(position),
            None => {}
        }
    }

    /// Only the oldest event of a key may run.
    fn refresh(&mut self, key: &Key) {
        let Some(lot) = self.lots.get(key) else { return };
        let head = lot.events.first().copied();
        let held = match (head, lot.letters.first()) {
            (Some(head), Some(letter)) => *letter < head,
            _ => false,
        };
        let others: Vec<Position> = lot.events.iter().copied().skip(1).take(1).collect();
        let busy = lot.busy || lot.running.is_some();
        let is_empty = lot.events.is_empty() && lot.letters.is_empty();
        for position in others {
            // A redriven event may have come before the one that was first until now.
            self.forget_due(position);
        }
        match head {
            Some(head) if !held && !busy => self.consider(head),
            Some(head) => self.forget_due(head),
            None if is_empty => drop(self.lots.remove(key)),
            None => {}
        }
    }

    fn consider(&mut self, position: Position) {
        if let Some(event) = self.events.get(&position)
            && event.stage == Stage::Waiting
        {
            self.due.insert((event.due, position));
        }
    }

    fn forget_due(&mut self, position: Position) {
        if let Some(event) = self.events.get(&position) {
            self.due.remove(&(event.due, position));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn parked(key: Option<&str>, due: i64) -> Parked {
        Parked { key: key.map(Key::from), due: at(due), told: Vec::new(), stage: Stage::Waiting }
    }

    fn all_due(parking: &mut Parking, now: i64) -> Vec<u64> {
        std::iter::from_fn(|| parking.take_due(at(now))).map(|position| position.0).collect()
    }

    #[test]
    fn events_without_a_key_run_when_they_are_due() {
        let mut parking = Parking::default();
        for (position, due) in [(1, 30), (2, 10), (3, 20)] {
            parking.park(Position(position), parked(None, due), false);
        }
        assert_eq!(parking.next_due(), Some(at(10)));
        assert!(all_due(&mut parking, 9).is_empty());
        assert_eq!(all_due(&mut parking, 20), [2, 3]);
        parking.put_back(Position(2), at(40));
        assert_eq!(all_due(&mut parking, 50), [1, 2]);
    }

    #[test]
    fn of_a_key_only_the_oldest_runs() {
        let mut parking = Parking::default();
        for position in [3, 4, 5] {
            parking.park(Position(position), parked(Some("a"), 10), true);
        }
        assert!(all_due(&mut parking, 10).is_empty(), "another of the key runs");
        parking.not_busy(&"a".into());
        assert_eq!(all_due(&mut parking, 10), [3]);
        assert!(all_due(&mut parking, 10).is_empty());
        parking.remove(Position(3));
        assert_eq!(all_due(&mut parking, 10), [4]);
        // An older one is redriven meanwhile.
        parking.park(Position(2), parked(Some("a"), 10), false);
        assert!(all_due(&mut parking, 10).is_empty(), "4 still runs");
        parking.put_back(Position(4), at(10));
        assert_eq!(all_due(&mut parking, 10), [2]);
        for position in [2, 4, 5] {
            assert!(parking.has(&"a".into()));
            parking.remove(Position(position));
        }
        assert!(!parking.has(&"a".into()) && parking.is_empty());
    }

    #[test]
    fn what_is_being_written_does_not_run_yet() {
        let mut parking = Parking::default();
        parking.park(Position(1), Parked { stage: Stage::Writing, ..parked(Some("a"), 0) }, false);
        assert!(all_due(&mut parking, 10).is_empty());
        assert!(parking.is_blocked(&"a".into(), at(10)) && parking.is_writing(&"a".into()));
        parking.written(Position(1), vec![Position(1)]);
        assert!(!parking.is_blocked(&"a".into(), at(10)) && !parking.is_writing(&"a".into()));
        assert_eq!(all_due(&mut parking, 10), [1]);
    }

    #[test]
    fn a_dead_letter_holds_what_is_younger() {
        let mut parking = Parking::default();
        let key = Key::from("a");
        parking.hold(Position(3), &key, Position(100), false);
        for position in [2, 4] {
            parking.park(Position(position), parked(Some("a"), 0), false);
        }
        assert_eq!(all_due(&mut parking, 10), [2]);
        parking.remove(Position(2));
        assert!(all_due(&mut parking, 10).is_empty());
        assert_eq!(parking.let_go(Position(3), Position(99)), None, "that was a former letter");
        assert_eq!(parking.let_go(Position(3), Position(101)), Some(key.clone()));
        assert_eq!(parking.let_go(Position(3), Position(101)), None);
        assert_eq!(all_due(&mut parking, 10), [4]);
        parking.remove(Position(4));
        assert!(!parking.has(&key));
    }

    #[test]
    fn a_key_that_must_wait_is_blocked() {
        let mut parking = Parking::default();
        let key = Key::from("a");
        assert!(!parking.is_blocked(&key, at(0)));
        parking.park(Position(1), parked(Some("a"), 10), false);
        assert!(parking.is_blocked(&key, at(9)));
        assert!(!parking.is_blocked(&key, at(10)));
        for position in 2..=MAX_FOLLOWED as u64 + 1 {
            parking.park(Position(position), parked(Some("a"), 0), false);
        }
        assert!(parking.is_blocked(&key, at(10)));
        parking.remove(Position(2));
        assert!(!parking.is_blocked(&key, at(10)));
        parking.hold(Position(0), &key, Position(1), false);
        assert!(parking.is_blocked(&key, at(10)));
    }

    proptest! {
        #[test]
        fn every_event_runs_once_and_each_key_in_order(
            events in prop::collection::vec((0..4_u8, 0..20_i64), 1..40)
        ) {
            let mut parking = Parking::default();
            for (position, (key, due)) in events.iter().enumerate() {
                let key = (*key > 0).then(|| key.to_string());
                parking.park(Position(position as u64), parked(key.as_deref(), *due), false);
            }
            let mut ran: Vec<u64> = Vec::new();
            for now in 0..20 {
                while let Some(position) = parking.take_due(at(now)) {
                    ran.push(position.0);
                    parking.remove(position);
                }
            }
            for key in 1..4 {
                let of_key: Vec<_> = ran.iter().filter(|p| events[**p as usize].0 == key).collect();
                prop_assert!(of_key.is_sorted());
            }
            ran.sort_unstable();
            prop_assert_eq!(ran, (0..events.len() as u64).collect::<Vec<_>>());
            prop_assert!(parking.is_empty() && parking.keys() == 0 && parking.next_due().is_none());
        }
    }
}
