//! Lanes: what has the same key goes one at a time, in the order of its arrival.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// A key, as lanes know it.
pub type Key = Arc<str>;

/// The lanes of a partition. A lane exists while one of its items is under way.
#[derive(Debug)]
pub struct Lanes<T> {
    waiting: HashMap<Key, VecDeque<T>>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Lanes<T> {
        Lanes { waiting: HashMap::new() }
    }
}

impl<T> Lanes<T> {
    /// Gives the item back where it may go at once; keeps it where another of its key is under way.
    pub fn enter(&mut self, key: &Key, item: T) -> Option<T> {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.push_back(item);
            return None;
        }
        self.waiting.insert(key.clone(), VecDeque::new());
        Some(item)
    }

    /// The item under way has left; gives the next of its key, which may go now.
    pub fn leave(&mut self, key: &Key) -> Option<T> {
        let next = self.waiting.get_mut(key)?.pop_front();
        if next.is_none() {
            self.waiting.remove(key);
        }
        next
    }

    /// How many keys have something under way.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True where nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
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
}
