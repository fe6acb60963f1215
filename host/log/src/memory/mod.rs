//! A log in memory: tests, simulation, trying things without a server.
//!
//! It keeps its word as JetStream does, expectations and times to live included, and is gone with the
//! process. The same calls at the same times of its clock always give the same log.

mod outside;
mod reader;
mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;
use waxwing_engine::port::{
    Clock, Log,
    log::{Bounds, CommitError, Committed, Done, Entry, NewEntry, Part, ReadError, Reader},
};
use waxwing_event::{Pattern, Position, Subject};

pub use self::outside::{MemoryOutside, Taken};
use self::{reader::MemoryReader, store::Store};
use crate::form::Form;

/// What a log in memory is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the log keeps; all subjects where it is empty.
    pub subjects: Vec<Pattern>,
    /// The most bytes of headers and payload in one entry.
    pub max_entry_bytes: usize,
    /// How long entries with [`Keep::Retention`](waxwing_engine::port::log::Keep::Retention) stay; for ever
    /// where it is none.
    pub retention: Option<Duration>,
}

impl Default for Options {
    fn default() -> Options {
        Options { subjects: Vec::new(), max_entry_bytes: 1024 * 1024, retention: None }
    }
}

/// A log in memory. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    form: Form,
    clock: Arc<dyn Clock>,
    store: Mutex<Store>,
    /// Readers wait for it, and go on in the order in which they came.
    grown: Notify,
}

impl MemoryLog {
    /// An empty log that keeps every subject.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryLog {
        MemoryLog::with_options(clock, Options::default())
    }

    /// An empty log.
    pub fn with_options(clock: Arc<dyn Clock>, options: Options) -> MemoryLog {
        let kept = if options.subjects.is_empty() { everything() } else { options.subjects };
        let form = Form { kept, max_entry_bytes: options.max_entry_bytes };
        let store = Mutex::new(Store::new(options.retention));
        MemoryLog { shared: Arc::new(Shared { form, clock, store, grown: Notify::new() }) }
    }

    fn write(&self, entries: Vec<NewEntry>) -> Result<Committed, CommitError> {
        self.shared.form.check(&entries)?;
        let last = self.shared.store().commit(entries)?;
        self.shared.grown.notify_waiters();
        Ok(Committed { last })
    }
}

fn everything() -> Vec<Pattern> {
    ">".parse().into_iter().collect()
}

impl Shared {
    /// The store as of now: without what has expired.
    fn store(&self) -> MutexGuard<'_, Store> {
        // A store is changed only after all checks have passed, so one that a panic left behind is whole.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.advance(self.clock.now());
        store
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn bounds(&self) -> Result<Bounds, ReadError> {
        Ok(self.shared.store().bounds())
    }

    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        Ok(Box::new(MemoryReader::new(self.shared.clone(), from, subjects.to_vec(), part)))
    }

    fn commit(&self, entries: Vec<NewEntry>, done: Done) {
        done(self.write(entries));
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        Ok(self.shared.store().last(subject))
    }

    async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ReadError> {
        Ok(self.shared.store().at(position, part))
    }

    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        Ok(self.shared.store().last_of_each(subjects, part, limit))
    }

    async fn remove(&self, subjects: &Pattern, last: Position) -> Result<(), ReadError> {
        self.shared.store().remove_up_to(subjects, last);
        Ok(())
    }

    fn max_entry_bytes(&self) -> usize {
        self.shared.form.max_entry_bytes
    }
}
