//! What a live run has read, kept so that a shadow reads the same; and the shadow's view of the state.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_event::{Event, Position};

use crate::{
    port::invoke::{HistoryError, HistoryStart, StateUnavailable, StateView},
    view::RunView,
};

/// The most bytes of keys and values of a run that are kept: a run that reads more has no shadow.
const MAX_BYTES: usize = 1 << 20;

/// The view of a live run, which keeps what it gives.
pub struct Recorded {
    view: Arc<RunView>,
    /// The highest position that was known when the run began: what is written since lies above.
    pub began: Position,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    values: BTreeMap<String, Option<Bytes>>,
    keys: BTreeMap<String, Vec<String>>,
    bytes: usize,
}

impl Recorded {
    /// Keeps what is read of this view.
    pub fn new(view: Arc<RunView>, began: Position) -> Recorded {
        Recorded { view, began, kept: Mutex::default() }
    }

    /// True where the run has read more than is kept.
    pub fn is_too_large(&self) -> bool {
        self.kept().bytes > MAX_BYTES
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each change keeps the maps whole, so a panic elsewhere does no harm.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Takes note of so many bytes; false where there is no room for them.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MAX_BYTES
    }
}

#[async_trait]
impl StateView for Recorded {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        let value = self.view.get(key).await?;
        let mut kept = self.kept();
        if !kept.values.contains_key(key) && kept.has_room(key.len() + value.as_ref().map_or(0, Bytes::len)) {
            kept.values.insert(key.to_owned(), value.clone());
        }
        Ok(value)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        let keys = self.view.keys(prefix).await?;
        let mut kept = self.kept();
        if !kept.keys.contains_key(prefix) && kept.has_room(keys.iter().map(String::len).sum()) {
            kept.keys.insert(prefix.to_owned(), keys.clone());
        }
        Ok(keys)
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        self.view.load_history(id).await
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        self.view.read_history(id, after).await
    }
}

/// The state as the live run saw it, for its shadow. What only the shadow reads comes from the state of now.
pub struct Replayed {
    live: Arc<Recorded>,
    now: Arc<RunView>,
    strayed: AtomicBool,
}

impl Replayed {
    /// What this run has read; the rest by `now`.
    pub fn new(live: Arc<Recorded>, now: Arc<RunView>) -> Replayed {
        Replayed { live, now, strayed: AtomicBool::new(false) }
    }

    /// True where the shadow has read what may not be as it was when the live run began.
    pub fn has_strayed(&self) -> bool {
        self.strayed.load(Relaxed) || self.now.newest_read() > self.live.began
    }
}

#[async_trait]
impl StateView for Replayed {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        let kept = self.live.kept().values.get(key).cloned();
        match kept {
            Some(value) => Ok(value),
            None => self.now.get(key).await,
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        let kept = self.live.kept().keys.get(prefix).cloned();
        match kept {
            Some(keys) => Ok(keys),
            None => {
                // Which keys there were is told by nothing.
                self.strayed.store(true, Relaxed);
                self.now.keys(prefix).await
            }
        }
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        self.now.load_history(id).await
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        let mut events = self.now.read_history(id, after).await?;
        // A history only grows: as far as it went then, it is the same.
        events.retain(|event| event.position <= self.live.began);
        Ok(events)
    }
}
