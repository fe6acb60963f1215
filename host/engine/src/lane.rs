//! Lanes: what has the same key goes one at a time, in the order of its arrival.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// A key, as lanes know it.
pub type Key = Arc<str>;

/// The lanes of a partition. A lane exists while one of its items is under way, or while it is reserved.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: HashMap<Key, Lane<T>>,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    /// An item that has entered is under way.
    busy: bool,
    /// Parked events of the key go first.
    reserved: bool,
}

impl<T> Default for Lanes<T> {
    fn default() -> Lanes<T> {
        Lanes { lanes: HashMap::new() }
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Lane<T> {
        Lane { waiting: VecDeque::new(), busy: false, reserved: false }
    }
}

impl<T> Lanes<T> {
    /// Gives the item back where it may go at once; keeps it where another of its key is under way.
    pub fn enter(&mut self, key: &Key, item: T) -> Option<T> {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.waiting.push_back(item);
            return None;
        }
        self.lanes.insert(key.clone(), Lane { busy: true, ..Lane::default() });
        Some(item)
    }

    /// The item under way has left; gives the next of its key, which may go now.
    pub fn leave(&mut self, key: &Key) -> Option<T> {
        self.lanes.get_mut(key)?.busy = false;
        self.next(key)
    }

    /// Keeps everything of the key waiting, but for what is under way; tells whether something is.
    pub fn reserve(&mut self, key: &Key) -> bool {
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.reserved = true;
        lane.busy
    }

    /// Ends that; gives the next of its key, which may go now.
    pub fn release(&mut self, key: &Key) -> Option<T> {
        self.lanes.get_mut(key)?.reserved = false;
        self.next(key)
    }

    /// True where an item of the key is under way.
    pub fn is_busy(&self, key: &Key) -> bool {
        self.lanes.get(key).is_some_and(|lane| lane.busy)
    }

    /// Takes out the first of the key that waits.
    pub fn take_first(&mut self, key: &Key) -> Option<T> {
        self.lanes.get_mut(key)?.waiting.pop_front()
    }

    /// Takes out what waits and is of that sort, of all keys; what waits for the same key keeps its order.
    pub fn take_all(&mut self, is_of_sort: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for lane in self.lanes.values_mut().filter(|lane| lane.waiting.iter().any(&is_of_sort)) {
            let (out, stay) = std::mem::take(&mut lane.waiting).into_iter().partition(&is_of_sort);
            lane.waiting = stay;
            taken.extend::<VecDeque<T>>(out);
        }
        taken
    }

    fn next(&mut self, key: &Key) -> Option<T> {
        let lane = self.lanes.get_mut(key).filter(|lane| !lane.busy && !lane.reserved)?;
        let next = lane.waiting.pop_front();
        lane.busy = next.is_some();
        if next.is_none() {
            self.lanes.remove(key);
        }
        next
    }

    /// How many keys have something under way or are reserved.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// True where nothing is under way and nothing reserved.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_key_goes_at_a_time_and_in_order() {
        let mut lanes = Lanes::default();
        let (a, b): (Key, Key) = ("a".into(), "b".into());
        assert_eq!(lanes.enter(&a, 1), Some(1));
        assert_eq!(lanes.enter(&a, 2), None);
        assert_eq!(lanes.enter(&a, 3), None);
        assert_eq!(lanes.enter(&b, 4), Some(4));
        assert_eq!(lanes.leave(&a), Some(2));
        assert_eq!(lanes.leave(&b), None);
        assert_eq!(lanes.leave(&a), Some(3));
        assert_eq!(lanes.leave(&a), None);
        assert!(lanes.is_empty());
        assert_eq!(lanes.enter(&a, 5), Some(5));
    }

    #[test]
    fn a_reserved_lane_lets_nobody_go() {
        let mut lanes = Lanes::default();
        let a: Key = "a".into();
        assert_eq!(lanes.enter(&a, 1), Some(1));
        assert!(lanes.reserve(&a) && lanes.is_busy(&a));
        assert_eq!(lanes.enter(&a, 2), None);
        assert_eq!(lanes.leave(&a), None);
        assert!(!lanes.is_busy(&a));
        assert_eq!((lanes.take_first(&a), lanes.take_first(&a)), (Some(2), None));
        assert_eq!(lanes.enter(&a, 3), None);
        assert_eq!(lanes.release(&a), Some(3));
        assert_eq!(lanes.leave(&a), None);
        assert!(!lanes.reserve(&a));
        assert_eq!(lanes.enter(&a, 4), None);
        assert_eq!(lanes.enter(&a, 5), None);
        assert_eq!(lanes.take_all(|item| *item > 4), [5]);
        assert_eq!(lanes.release(&a), Some(4));
    }
}
