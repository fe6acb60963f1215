//! The sandbox, as the engine sees it: something that takes runs and reports each of them once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_event::{Digest, Event, Outcome, Position};

/// A handler's module, loaded and ready.
pub trait Invoke: Send + Sync {
    /// Queues a run. Returns at once; the run's [`Reporter`] hears of its end exactly once, whatever
    /// happens to the sandbox.
    fn invoke(&self, run: Run);

    /// Which module runs.
    fn digest(&self) -> Digest;
}

/// One run of a handler.
pub struct Run {
    /// The event to handle.
    pub event: Arc<Event>,
    /// The handler's state, as this run sees it.
    pub state: Arc<dyn StateView>,
    /// True where somebody waits for a reply.
    pub is_asked: bool,
    /// Where its end is reported.
    pub reporter: Reporter,
}

/// Receives the end of a run, on any thread; must not block.
pub type Reporter = Box<dyn FnOnce(Report) + Send>;

/// The end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// From entering the sandbox to leaving it, waits for state included.
    pub elapsed: Duration,
}

/// Committed state, as one run reads it. The sandbox lays the run's own writes over it.
#[async_trait]
pub trait StateView: Send + Sync {
    /// The value of a key; none where there is none.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable>;

    /// The keys that start with `prefix`, sorted.
    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable>;

    /// Where to begin to read an aggregate's history.
    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        let _ = id;
        Err(HistoryError::NoneHere)
    }

    /// The events of an aggregate's history behind a position, oldest first: some of them; none where there are no
    /// more.
    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        let _ = (id, after);
        Err(HistoryError::NoneHere)
    }
}

/// Where to begin to read an aggregate's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStart {
    /// What the module that runs has made of it.
    pub snapshot: Option<Bytes>,
    /// All events up to here are part of that.
    pub after: Position,
}

/// Why a history could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The handler has no aggregates.
    #[error("the handler's manifest names no `aggregate`")]
    NoneHere,
    /// Trying again may help.
    #[error(transparent)]
    Unavailable(#[from] StateUnavailable),
    /// An entry is no event that can be read.
    #[error("the history cannot be read: {0}")]
    Damaged(String),
}

/// State could not be read; trying again may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("state is not available: {0}")]
pub struct StateUnavailable(pub String);
