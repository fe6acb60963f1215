//! State in memory: what the owner of a partition knows of its handler's state.
//!
//! While the lease holds nobody else writes this state, so a cached value is the current one. Where the handler has
//! several partitions, others write it, too: then no value is kept, and a commit expects what its run has read. Runs
//! read state from their own threads; the partition writes it when a commit is durable.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lru::LruCache;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use waxwing_event::{Digest, HandlerName, HandlerSpec, Position, Subject};

use crate::{
    entry::{Layout, aggregate, seen, slot, state},
    port::{
        Log,
        invoke::StateUnavailable,
        log::{Entry, ReadError},
    },
    view::RunView,
};

/// A key's value, and the entry that holds it ([`Position::NONE`]: it was never written).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The value; none: not there.
    pub value: Option<Bytes>,
    /// Its entry.
    pub position: Position,
    /// The module that made it, where it is a snapshot of an aggregate.
    pub snapshot: Option<Digest>,
}

impl Known {
    /// What an entry of the state says.
    fn of(entry: Option<Entry>) -> Known {
        let Some(entry) = entry else { return Known::at(Position::NONE) };
        let (position, snapshot) = (entry.position, state::snapshot_of(&entry));
        Known { value: state::value(entry), position, snapshot }
    }

    /// No value.
    pub fn at(position: Position) -> Known {
        Known { value: None, position, snapshot: None }
    }
}

/// The state of one handler.
///
/// Runs also read the ends of aggregates' histories, under their [`aggregate::slot`]s, and which events were handled, under
/// their [`seen::slot`]s: to read and to append excludes other runs as to read and to write a key does. Of these no value
/// is kept: others write histories too, and what was handled is forgotten in time.
pub struct StateCache {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) layout: Layout,
    pub(crate) handler: HandlerName,
    /// Where the handler's aggregates have their histories.
    pub(crate) aggregate: Option<Subject>,
    /// Where the log is asked: sandboxes read state on threads of their own.
    runtime: Handle,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    /// False where others write the state, too.
    keeps_values: bool,
    pub(crate) values: LruCache<String, Known>,
    bytes: usize,
    max_bytes: usize,
    /// Keys read by runs under way, and the entry that is current for each: kept when a value is evicted.
    pub(crate) in_use: HashMap<String, InUse>,
}

pub(crate) struct InUse {
    runs: usize,
    pub(crate) current: Position,
}

impl StateCache {
    /// An empty cache that keeps at most `max_bytes` of keys and values. Must be called within a runtime.
    pub fn new(log: Arc<dyn Log>, layout: Layout, spec: &HandlerSpec, max_bytes: NonZeroUsize) -> StateCache {
        let inner = Inner {
            keeps_values: true,
            values: LruCache::unbounded(),
            bytes: 0,
            max_bytes: max_bytes.get(),
            in_use: HashMap::new(),
        };
        let (handler, aggregate) = (spec.name.clone(), spec.aggregate.clone());
        let (runtime, inner) = (Handle::current(), Mutex::new(inner));
        StateCache { log, layout, handler, aggregate, runtime, inner }
    }

    /// The same for state that others write, too: no value is kept.
    pub fn shared(self) -> StateCache {
        self.lock().keeps_values = false;
        self
    }

    /// A view for one run of this module.
    pub fn view(self: &Arc<Self>, module: Digest) -> Arc<RunView> {
        Arc::new(RunView::new(self.clone(), module))
    }

    /// What is known of a key without asking the log: its current entry, and whether it has a value.
    pub fn known(&self, key: &str) -> Option<(Position, bool)> {
        let inner = self.lock();
        if !inner.keeps_values {
            // Whatever it was, a write expects that it still is.
            return inner.in_use.get(key).map(|in_use| (in_use.current, true));
        }
        inner.values.peek(key).map(|known| (known.position, known.value.is_some()))
    }

    /// The current entry of a key that a run under way has read.
    pub fn current(&self, key: &str) -> Option<Position> {
        self.lock().in_use.get(key).map(|in_use| in_use.current)
    }

    /// Takes note of a durable write.
    pub fn written(&self, key: String, known: Known) {
        self.lock().put(key, known);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below keeps the maps whole at each step, so a panic elsewhere does no harm.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn load(&self, key: &str) -> Result<Known, StateUnavailable> {
        let history = aggregate::of_slot(key).zip(self.aggregate.as_ref());
        let is_history = history.is_some();
        let subject = match (history, seen::of_slot(key)) {
            (Some((id, subjects)), _) => aggregate::subject(subjects, id),
            (None, Some(uuid)) => self.layout.seen_event(&self.handler, uuid),
            (None, None) => self.layout.state(&self.handler, key),
        };
        let log = self.log.clone();
        let entry = self.ask(async move { log.last(&subject).await }).await?;
        Ok(match entry {
            Some(entry) if is_history => Known::at(entry.position),
            entry => Known::of(entry),
        })
    }

    /// Asks the log on its own runtime.
    pub(crate) async fn ask<T: Send + 'static>(
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
    pub(crate) fn put(&mut self, key: String, known: Known) {
        if let Some(in_use) = self.in_use.get_mut(&key) {
            in_use.current = in_use.current.max(known.position);
        }
        if slot::is(&key) || !self.keeps_values {
            return;
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
    pub(crate) fn begin_use(&mut self, key: &str, current: Position) -> Position {
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

    pub(crate) fn end_use(&mut self, key: &str) {
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
