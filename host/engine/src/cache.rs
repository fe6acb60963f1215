//! State in memory: what the owner of a partition knows of its handler's state.
//!
//! While the lease holds nobody else writes this state, so a cached value is the current one. Runs read it
//! from their own threads; the partition writes it when a commit is durable.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use lru::LruCache;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use waxwing_event::{HandlerName, Position};

use crate::{
    entry::{Layout, state},
    port::{
        Log,
        invoke::{StateUnavailable, StateView},
        log::{Part, ReadError},
    },
};

/// The most keys that [`StateView::keys`] gives.
pub const MAX_KEYS: usize = 100_000;

/// A key's value, and the entry that holds it ([`Position::NONE`]: it was never written).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The value; none: not there.
    pub value: Option<Bytes>,
    /// Its entry.
    pub position: Position,
}

/// The state of one handler.
pub struct StateCache {
    log: Arc<dyn Log>,
    layout: Layout,
    handler: HandlerName,
    /// Where the log is asked: sandboxes read state on threads of their own.
    runtime: Handle,
    inner: Mutex<Inner>,
}

struct Inner {
    values: LruCache<String, Known>,
    bytes: usize,
    max_bytes: usize,
    /// Keys read by runs under way, and the entry that is current for each: kept when a value is evicted.
    in_use: HashMap<String, InUse>,
}

struct InUse {
    runs: usize,
    current: Position,
}

impl StateCache {
    /// An empty cache that keeps at most `max_bytes` of keys and values. Must be called within a runtime.
    pub fn new(
        log: Arc<dyn Log>,
        layout: Layout,
        handler: HandlerName,
        max_bytes: NonZeroUsize,
    ) -> StateCache {
        let inner = Inner {
            values: LruCache::unbounded(),
            bytes: 0,
            max_bytes: max_bytes.get(),
            in_use: HashMap::new(),
        };
        StateCache { log, layout, handler, runtime: Handle::current(), inner: Mutex::new(inner) }
    }

    /// A view for one run.
    pub fn view(self: &Arc<Self>) -> Arc<RunView> {
        Arc::new(RunView { cache: self.clone(), reads: Mutex::default() })
    }

    /// What is known of a key without asking the log: its current entry, and whether it has a value.
    pub fn known(&self, key: &str) -> Option<(Position, bool)> {
        let inner = self.lock();
        inner.values.peek(key).map(|known| (known.position, known.value.is_some()))
    }

    /// Takes note of a durable write.
    pub fn written(&self, key: String, known: Known) {
        self.lock().put(key, known);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below keeps the maps whole at each step, so a panic elsewhere does no harm.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, key: &str) -> Result<Known, StateUnavailable> {
        let (log, subject) = (self.log.clone(), self.layout.state(&self.handler, key));
        let entry = self.ask(async move { log.last(&subject).await }).await?;
        Ok(match entry {
            Some(entry) => Known { position: entry.position, value: state::value(entry) },
            None => Known { position: Position::NONE, value: None },
        })
    }

    /// Asks the log on its own runtime.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<T, StateUnavailable> {
        match AbortOnDropHandle::new(self.runtime.spawn(question)).await {
            Ok(answer) => answer.map_err(|error| StateUnavailable(error.to_string())),
            Err(ended) => Err(StateUnavailable(ended.to_string())),
        }
    }
}

impl Inner {
    fn put(&mut self, key: String, known: Known) {
        if let Some(in_use) = self.in_use.get_mut(&key) {
            in_use.current = in_use.current.max(known.position);
        }
        if self.values.peek(&key).is_some_and(|held| held.position > known.position) {
            return;
        }
        self.bytes = self.bytes.saturating_add(size(&key, &known));
        if let Some((key, old)) = self.values.push(key, known) {
            self.bytes = self.bytes.saturating_sub(size(&key, &old));
        }
        while self.bytes > self.max_bytes {
            let Some((key, old)) = self.values.pop_lru() else { return };
            self.bytes = self.bytes.saturating_sub(size(&key, &old));
        }
    }

    /// One run more uses a key; gives the entry that is current.
    fn begin_use(&mut self, key: &str, current: Position) -> Position {
        match self.in_use.get_mut(key) {
            Some(in_use) => {
                in_use.runs += 1;
                in_use.current
            }
            None => {
                self.in_use.insert(key.to_owned(), InUse { runs: 1, current });
                current
            }
        }
    }

    fn end_use(&mut self, key: &str) {
        if let Some(in_use) = self.in_use.get_mut(key) {
            in_use.runs = in_use.runs.saturating_sub(1);
            if in_use.runs == 0 {
                self.in_use.remove(key);
            }
        }
    }
}

fn size(key: &str, known: &Known) -> usize {
    /// What the maps themselves take for an entry, about.
    const OVERHEAD: usize = 160;
    key.len() + known.value.as_ref().map_or(0, Bytes::len) + OVERHEAD
}

/// State as one run sees it: remembers what it has read.
pub struct RunView {
    cache: Arc<StateCache>,
    /// Sorted: which key a run waits for must not depend on chance.
    reads: Mutex<BTreeMap<String, Position>>,
}

impl RunView {
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
        loop {
            if let Some(known) = self.read_cached(key) {
                return Ok(known.value);
            }
            let loading = Loading::begin(&self.cache, key);
            let loaded = self.cache.load(key).await?;
            if loaded.position < loading.current {
                let why = format!("the log gives an older value of `{key}` than was written");
                return Err(StateUnavailable(why));
            }
            // A value that was written and evicted meanwhile is newer than the one loaded.
            if self.read_loaded(key, &loaded) {
                return Ok(loaded.value);
            }
        }
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
