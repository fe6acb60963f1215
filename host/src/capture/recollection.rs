//! The state that a handler's past has made, up to some event, in memory.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_engine::port::invoke::{HistoryError, HistoryStart, StateUnavailable, StateView};
use waxwing_event::{Effects, Event, Position, TimerChange};

use super::made::Made;

/// State, histories and timers, as the events so far have made them.
#[derive(Debug, Default)]
pub struct Recollection(Mutex<Past>);

#[derive(Debug, Default)]
struct Past {
    made: Made,
    timers: BTreeSet<String>,
}

impl Recollection {
    /// An event that was appended to a history, where it stands in the log.
    pub fn append(&self, id: String, event: Event) {
        let mut past = self.past();
        let history = past.made.histories.entry(id).or_default();
        let place = history.partition_point(|known| known.position < event.position);
        history.insert(place, event);
    }

    /// Keeps what a run did to state and timers; what it appended stands in the log.
    pub fn take(&self, effects: &Effects) {
        let mut past = self.past();
        for (key, value) in &effects.state {
            let last = past.made.histories.get(key).and_then(|events| events.last());
            let last = last.map_or(Position::NONE, |event| event.position);
            let snapshot = effects.snapshots.contains(key).then_some(last);
            past.made.set(key.clone(), value.clone(), snapshot);
        }
        for (id, change) in &effects.timers {
            match change {
                TimerChange::Set(_) => past.timers.insert(id.clone()),
                TimerChange::Cancel => past.timers.remove(id),
            };
        }
    }

    /// The timers that are set.
    pub fn timers(&self) -> Vec<String> {
        self.past().timers.iter().cloned().collect()
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateView for Recollection {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        Ok(self.past().made.state.get(key).cloned())
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        Ok(self.past().made.keys(prefix))
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        Ok(self.past().made.start(id))
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        Ok(self.past().made.events(id, after))
    }
}
