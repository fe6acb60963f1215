//! What a run wants written: kept in a buffer until it commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use crate::Subject;

/// An event that a run emits, before the host has stamped it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emit {
    /// Where to publish it.
    pub subject: Subject,
    /// The CloudEvents type; none: the subject.
    pub event_type: Option<String>,
    /// The CloudEvents attribute `subject`.
    pub about: Option<String>,
    /// The media type of `data`, where it is known.
    pub content_type: Option<String>,
    /// The URI of the schema that `data` follows.
    pub data_schema: Option<String>,
    /// Attributes other than those that the host stamps.
    pub extensions: Vec<(String, String)>,
    /// The data.
    pub data: Bytes,
    /// The aggregate to whose history it is appended, where it is.
    pub aggregate: Option<String>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The data.
    pub data: Bytes,
    /// The media type of `data`; none: `application/json`.
    pub content_type: Option<String>,
    /// Further named values: headers of the answer.
    pub attributes: Vec<(String, String)>,
}

/// What a run does to a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerChange {
    /// It is set, in place of one that is set.
    Set(NewTimer),
    /// It is cancelled.
    Cancel,
}

/// A timer as it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTimer {
    /// When it fires.
    pub due: Due,
    /// What the event then says.
    pub data: Bytes,
    /// The media type of `data`; none: `application/json`.
    pub content_type: Option<String>,
}

/// When a timer fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// So long after the commit is made.
    After(Duration),
    /// So long after 1970-01-01T00:00:00Z.
    At(Duration),
}

/// The longest state key, in bytes.
pub const MAX_STATE_KEY_BYTES: usize = 200;

/// Checks a state key: 1 to [`MAX_STATE_KEY_BYTES`] bytes of any text.
pub fn check_state_key(key: &str) -> Result<(), StateKeyError> {
    match key.len() {
        0 => Err(StateKeyError::Empty),
        1..=MAX_STATE_KEY_BYTES => Ok(()),
        length => Err(StateKeyError::TooLong(length)),
    }
}

/// Why a state key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateKeyError {
    /// Nothing there.
    #[error("a key must not be empty")]
    Empty,
    /// Over [`MAX_STATE_KEY_BYTES`].
    #[error("a key of {0} bytes: at most {MAX_STATE_KEY_BYTES} are allowed")]
    TooLong(usize),
}

/// The effects of one run, in the form in which they are committed: events in the order of their
/// emission, state with one last write a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Emitted events; the place in this list is the event's index.
    pub emits: Vec<Emit>,
    /// Written keys; none: deleted.
    pub state: BTreeMap<String, Option<Bytes>>,
    /// Those of the written keys whose values are snapshots of aggregates.
    pub snapshots: BTreeSet<String>,
    /// Timers that are set or cancelled, by their ids.
    pub timers: BTreeMap<String, TimerChange>,
    /// The answer to the request that was run; it is no entry of the log by itself.
    pub reply: Option<Reply>,
}

impl Effects {
    /// True where nothing is to be written, whether or not there is a reply.
    pub fn is_empty(&self) -> bool {
        self.emits.is_empty() && self.state.is_empty() && self.timers.is_empty()
    }

    /// Leaves nothing but the state; gives how many events and timers are left out.
    pub fn withhold(&mut self) -> (usize, usize) {
        let (emits, timers) = (std::mem::take(&mut self.emits), std::mem::take(&mut self.timers));
        (emits.len(), timers.len())
    }

    /// How many entries a commit of these effects writes.
    pub fn len(&self) -> usize {
        self.emits.len() + self.state.len() + self.timers.len()
    }
}
