//! What runs have made, in memory: state and histories, as further runs see them.

use std::collections::BTreeMap;

use bytes::Bytes;
use waxwing_engine::{history::MAX_EVENTS, port::invoke::HistoryStart};
use waxwing_event::{Event, Position};

/// State and histories.
#[derive(Debug, Default)]
pub struct Made {
    /// The values of the state.
    pub state: BTreeMap<String, Bytes>,
    /// Snapshots among the state, and up to which event of their history.
    pub snapshots: BTreeMap<String, Position>,
    /// What has happened to aggregates, oldest first.
    pub histories: BTreeMap<String, Vec<Event>>,
}

impl Made {
    /// Sets a value of the state, or deletes it. `snapshot`: it is one, up to this event of its history.
    pub fn set(&mut self, key: String, value: Option<Bytes>, snapshot: Option<Position>) {
        match snapshot {
            Some(last) => self.snapshots.insert(key.clone(), last),
            None => self.snapshots.remove(&key),
        };
        match value {
            Some(value) => self.state.insert(key, value),
            None => self.state.remove(&key),
        };
    }

    /// The keys that begin so.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.state.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Where reading of a history begins.
    pub fn start(&self, id: &str) -> HistoryStart {
        let after = self.snapshots.get(id).copied();
        let snapshot = after.and_then(|_| self.state.get(id).cloned());
        HistoryStart { snapshot, after: after.unwrap_or(Position::NONE) }
    }

    /// The next events of a history.
    pub fn events(&self, id: &str, after: Position) -> Vec<Event> {
        let events = self.histories.get(id).into_iter().flatten();
        events.filter(|event| event.position > after).take(MAX_EVENTS).cloned().collect()
    }
}
