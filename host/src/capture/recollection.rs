//! The state that a handler's past has made, up to some event, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_engine::{
    history::MAX_EVENTS,
    port::invoke::{HistoryError, HistoryStart, StateUnavailable, StateView},
};
use waxwing_event::{Effects, Event, Position, TimerChange};

/// State, histories and timers, as the events so far have made them.
#[derive(Debug, Default)]
pub struct Recollection(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    state: BTreeMap<String, Bytes>,
    /// Snapshots among the state, and up to which event of their history.
    snapshots: BTreeMap<String, Position>,
    histories: BTreeMap<String, Vec<Event>>,
    timers: BTreeSet<String>,
}

impl Recollection {
    /// An event that was appended to a history, where it stands in the log.
    pub fn append(&self, id: String, event: Event) {
        let mut made = self.made();
        let history = made.histories.entry(id).or_default();
        let place = history.partition_point(|known| known.position < event.position);
        history.insert(place, event);
    }

    /// Keeps what a run did to state and timers; what it appended stands in the log.
    pub fn take(&self, effects: &Effects) {
        let mut made = self.made();
        for (key, value) in &effects.state {
            made.snapshots.remove(key);
            if effects.snapshots.contains(key) {
                let last = made.histories.get(key).and_then(|events| events.last());
                let last = last.map_or(Position::NONE, |event| event.position);
                made.snapshots.insert(key.clone(), last);
            }
            match value {
                Some(value) => drop(made.state.insert(key.clone(), value.clone())),
                None => drop(made.state.remove(key)),
            }
        }
        for (id, change) in &effects.timers {
            match change {
                TimerChange::Set(_) => made.timers.insert(id.clone()),
                TimerChange::Cancel => made.timers.remove(id),
            };
        }
    }

    /// The timers that are set.
    pub fn timers(&self) -> Vec<String> {
        self.made().timers.iter().cloned().collect()
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateView for Recollection {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        Ok(self.made().state.get(key).cloned())
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        Ok(self.made().state.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        let made = self.made();
        let after = made.snapshots.get(id).copied();
        let snapshot = after.and_then(|_| made.state.get(id).cloned());
        Ok(HistoryStart { snapshot, after: after.unwrap_or(Position::NONE) })
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        let made = self.made();
        let events = made.histories.get(id).into_iter().flatten();
        Ok(events.filter(|event| event.position > after).take(MAX_EVENTS).cloned().collect())
    }
}
