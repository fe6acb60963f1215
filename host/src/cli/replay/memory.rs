//! What a replay has made so far: state and histories, in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_engine::{
    history::MAX_EVENTS,
    port::invoke::{HistoryError, HistoryStart, StateUnavailable, StateView},
};
use waxwing_event::{Effects, Emit, Event, Position};

/// State and histories, as the events of a replay have made them.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    state: BTreeMap<String, Bytes>,
    /// Snapshots among the state, and up to which event of their history.
    snapshots: BTreeMap<String, Position>,
    histories: BTreeMap<String, Vec<Event>>,
    /// Events that were appended so far: the last one's position.
    appended: u64,
}

impl Memory {
    /// Keeps what a run did.
    pub(super) fn take(&self, effects: Effects) {
        let mut made = self.made();
        for (id, event) in effects.emits.into_iter().filter_map(appended) {
            made.append(id, event);
        }
        let last = Position(made.appended);
        for (key, value) in effects.state {
            made.snapshots.remove(&key);
            if effects.snapshots.contains(&key) {
                made.snapshots.insert(key.clone(), last);
            }
            match value {
                Some(value) => drop(made.state.insert(key, value)),
                None => drop(made.state.remove(&key)),
            }
        }
    }

    /// Keeps an event of a history that no run of the replay has appended.
    pub(super) fn append(&self, id: String, event: Event) {
        self.made().append(id, event);
    }

    /// Keys whose values are not these, with the values that the replay has made.
    pub(super) fn differing(&self, present: &BTreeMap<String, Bytes>) -> BTreeMap<String, Option<Bytes>> {
        let made = self.made();
        let mine = made.state.iter().filter(|(key, value)| present.get(*key) != Some(value));
        let mine = mine.map(|(key, value)| (key.clone(), Some(value.clone())));
        let theirs = present.keys().filter(|key| !made.state.contains_key(*key));
        mine.chain(theirs.map(|key| (key.clone(), None))).collect()
    }

    /// The values of the state, and whether each is a snapshot of an aggregate.
    pub(super) fn state(&self) -> Vec<(String, Bytes, bool)> {
        let made = self.made();
        let values = made.state.iter();
        values.map(|(key, value)| (key.clone(), value.clone(), made.snapshots.contains_key(key))).collect()
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Made {
    fn append(&mut self, id: String, event: Event) {
        self.appended += 1;
        let position = Position(self.appended);
        self.histories.entry(id).or_default().push(Event { position, ..event });
    }
}

/// What an emitted event adds to a history, if it does.
fn appended(emit: Emit) -> Option<(String, Event)> {
    let event = Event {
        id: "replayed".to_owned(),
        source: "replay".to_owned(),
        event_type: emit.event_type.unwrap_or_else(|| emit.subject.to_string()),
        subject: emit.subject,
        about: emit.about,
        time: None,
        content_type: emit.content_type,
        data_schema: emit.data_schema,
        correlation_id: "replayed".to_owned(),
        causation_id: None,
        key: None,
        position: Position::NONE,
        attempt: 1,
        extensions: emit.extensions,
        data: emit.data,
    };
    Some((emit.aggregate?, event))
}

#[async_trait]
impl StateView for Memory {
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
