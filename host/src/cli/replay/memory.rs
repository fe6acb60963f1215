//! What a replay has made so far: state and histories, in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_engine::port::invoke::{HistoryError, HistoryStart, StateUnavailable, StateView};
use waxwing_event::{Effects, Emit, Event, Position};

use crate::capture::made::Made;

/// State and histories, as the events of a replay have made them.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Replayed>);

#[derive(Debug, Default)]
struct Replayed {
    made: Made,
    /// Events that were appended so far: the last one's position.
    appended: u64,
}

impl Memory {
    /// Keeps what a run did.
    pub(super) fn take(&self, effects: Effects) {
        let mut replayed = self.replayed();
        for (id, event) in effects.emits.into_iter().filter_map(appended) {
            replayed.append(id, event);
        }
        let last = Position(replayed.appended);
        for (key, value) in effects.state {
            let snapshot = effects.snapshots.contains(&key).then_some(last);
            replayed.made.set(key, value, snapshot);
        }
    }

    /// Keeps an event of a history that no run of the replay has appended.
    pub(super) fn append(&self, id: String, event: Event) {
        self.replayed().append(id, event);
    }

    /// Keys whose values are not these, with the values that the replay has made.
    pub(super) fn differing(&self, present: &BTreeMap<String, Bytes>) -> BTreeMap<String, Option<Bytes>> {
        let Replayed { made, .. } = &*self.replayed();
        let mine = made.state.iter().filter(|(key, value)| present.get(*key) != Some(value));
        let mine = mine.map(|(key, value)| (key.clone(), Some(value.clone())));
        let theirs = present.keys().filter(|key| !made.state.contains_key(*key));
        mine.chain(theirs.map(|key| (key.clone(), None))).collect()
    }

    /// The values of the state, and whether each is a snapshot of an aggregate.
    pub(super) fn state(&self) -> Vec<(String, Bytes, bool)> {
        let Replayed { made, .. } = &*self.replayed();
        let values = made.state.iter();
        values.map(|(key, value)| (key.clone(), value.clone(), made.snapshots.contains_key(key))).collect()
    }

    fn replayed(&self) -> MutexGuard<'_, Replayed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replayed {
    fn append(&mut self, id: String, event: Event) {
        self.appended += 1;
        let position = Position(self.appended);
        self.made.histories.entry(id).or_default().push(Event { position, ..event });
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
        Ok(self.replayed().made.state.get(key).cloned())
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        Ok(self.replayed().made.keys(prefix))
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        Ok(self.replayed().made.start(id))
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        Ok(self.replayed().made.events(id, after))
    }
}
