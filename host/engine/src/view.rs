//! A run's view of its handler's state and of its aggregates' histories: it remembers what it has read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_event::{Digest, Event, Position};

use crate::{
    cache::{Known, StateCache},
    entry::{aggregate, slot, state},
    history,
    port::{
        invoke::{HistoryError, HistoryStart, StateUnavailable, StateView},
        log::Part,
    },
};

/// The most keys that [`StateView::keys`] gives.
pub const MAX_KEYS: usize = 100_000;

/// State as one run sees it: remembers what it has read.
pub struct RunView {
    cache: Arc<StateCache>,
    /// The module that runs.
    module: Digest,
    /// Sorted: which key a run waits for must not depend on chance.
    reads: Mutex<BTreeMap<String, Position>>,
}

impl RunView {
    pub(crate) fn new(cache: Arc<StateCache>, module: Digest) -> RunView {
        RunView { cache, module, reads: Mutex::default() }
    }

    /// True where everything that the run has read is still current.
    pub fn is_current(&self) -> bool {
        let reads = self.reads();
        let inner = self.cache.lock();
        reads.iter().all(|(key, seen)| inner.in_use.get(key).is_some_and(|in_use| in_use.current == *seen))
    }

    /// The keys that the run has read.
    pub fn keys_read(&self) -> Vec<String> {
        self.reads().keys().cloned().collect()
    }

    /// The newest entry of a key of the state that the run has read.
    pub fn newest_read(&self) -> Position {
        let reads = self.reads();
        let keys = reads.iter().filter(|(key, _)| !slot::is(key));
        keys.map(|(_, position)| *position).max().unwrap_or(Position::NONE)
    }

    /// The value of a key, which counts as read from now on.
    async fn read(&self, key: &str) -> Result<Known, StateUnavailable> {
        match self.read_cached(key) {
            Some(known) => Ok(known),
            None => self.load(key).await,
        }
    }

    /// The end of a history: that of the run's first look at it. Others may write it, too, so no memory of it is current.
    async fn end_of_history(&self, id: &str) -> Result<Position, StateUnavailable> {
        let slot = aggregate::slot(id);
        let seen = self.reads().get(&slot).copied();
        match seen {
            Some(position) => Ok(position),
            None => self.load(&slot).await.map(|known| known.position),
        }
    }

    async fn load(&self, key: &str) -> Result<Known, StateUnavailable> {
        loop {
            let loading = Loading::begin(&self.cache, key);
            let loaded = self.cache.load(key).await?;
            if loaded.position < loading.current {
                let what = slot::shown(key);
                let why = format!("the log gives an older value of `{what}` than was written");
                return Err(StateUnavailable(why));
            }
            // A value that was written and evicted meanwhile is newer than the one loaded.
            if self.read_loaded(key, &loaded) {
                return Ok(loaded);
            }
        }
    }

    /// Whether the event of this [`seen::slot`](crate::entry::seen::slot) was handled. The log forgets it in time, so no
    /// memory of it counts.
    pub async fn was_handled(&self, slot: &str) -> Result<bool, StateUnavailable> {
        self.load(slot).await.map(|known| known.value.is_some())
    }

    fn reads(&self) -> MutexGuard<'_, BTreeMap<String, Position>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a cached value and notes the read, in one step.
    fn read_cached(&self, key: &str) -> Option<Known> {
        let mut reads = self.reads();
        let mut inner = self.cache.lock();
        let known = inner.values.get(key)?.clone();
        if !reads.contains_key(key) {
            inner.begin_use(key, known.position);
            reads.insert(key.to_owned(), known.position);
        }
        Some(known)
    }

    /// Caches a loaded value and notes the read, in one step; false where it is not the current one.
    fn read_loaded(&self, key: &str, loaded: &Known) -> bool {
        let mut reads = self.reads();
        let mut inner = self.cache.lock();
        if inner.in_use.get(key).is_some_and(|in_use| in_use.current > loaded.position) {
            return false;
        }
        inner.put(key.to_owned(), loaded.clone());
        // Even a value that the cache has no room for counts as read.
        if !reads.contains_key(key) {
            inner.begin_use(key, loaded.position);
            reads.insert(key.to_owned(), loaded.position);
        }
        true
    }
}

/// A key that is being loaded is in use: so what is written meanwhile is known, also where it is evicted.
struct Loading<'a> {
    cache: &'a StateCache,
    key: &'a str,
    /// The entry that was current when it began, as far as that is known.
    current: Position,
}

impl Loading<'_> {
    fn begin<'a>(cache: &'a StateCache, key: &'a str) -> Loading<'a> {
        let current = cache.lock().begin_use(key, Position::NONE);
        Loading { cache, key, current }
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.cache.lock().end_use(self.key);
    }
}

#[async_trait]
impl StateView for RunView {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        self.read(key).await.map(|known| known.value)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        let StateCache { log, layout, handler, .. } = self.cache.as_ref();
        let (log, states) = (log.clone(), layout.states(handler));
        let entries =
            self.cache.ask(async move { log.last_of_each(&states, Part::Headers, MAX_KEYS).await }).await?;
        let mut keys: Vec<String> = entries
            .into_iter()
            .filter(|entry| entry.headers.get(state::DELETED_HEADER).is_none())
            .filter_map(|entry| layout.state_key(handler, &entry.subject))
            .filter(|key| key.starts_with(prefix))
            .collect();
        keys.sort_unstable();
        Ok(keys)
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        if self.cache.aggregate.is_none() {
            return Err(HistoryError::NoneHere);
        }
        self.end_of_history(id).await?;
        let known = self.read(id).await?;
        let is_ours = known.snapshot == Some(self.module);
        Ok(match known.value.filter(|_| is_ours) {
            Some(snapshot) => HistoryStart { snapshot: Some(snapshot), after: known.position },
            None => HistoryStart { snapshot: None, after: Position::NONE },
        })
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        let Some(subjects) = &self.cache.aggregate else { return Err(HistoryError::NoneHere) };
        let until = self.end_of_history(id).await?;
        if after >= until {
            return Ok(Vec::new());
        }
        let (log, subject) = (self.cache.log.clone(), aggregate::subject(subjects, id));
        let read =
            self.cache.ask(async move { history::read(log.as_ref(), &subject, after, until).await }).await?;
        read.iter().map(history::event).collect()
    }
}

impl Drop for RunView {
    fn drop(&mut self) {
        let reads = std::mem::take(self.reads.get_mut().unwrap_or_else(PoisonError::into_inner));
        if reads.is_empty() {
            return;
        }
        let mut inner = self.cache.lock();
        for key in reads.keys() {
            inner.end_use(key);
        }
    }
}
