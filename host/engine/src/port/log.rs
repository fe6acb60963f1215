//! The log: entries in one order, read from a position, written in atomic commits.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use waxwing_event::{Headers, Pattern, Position, Subject};

/// The most entries that one commit may hold: a batch of JetStream holds 1,000 (ADR-50).
pub const MAX_COMMIT_ENTRIES: usize = 1000;

/// The most bytes of headers in one entry: JetStream counts a header block's length in 16 bits, and a log
/// adds some of its own.
pub const MAX_HEADER_BYTES: usize = 64_000;

/// One entry, as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub position: Position,
    /// The subject on which it was published.
    pub subject: Subject,
    /// Its headers, those of the broker included.
    pub headers: Headers,
    /// Its payload; empty where only headers were asked for.
    pub payload: Bytes,
    /// When the log stored it.
    pub time: Timestamp,
}

/// How long an entry stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// As the log's retention says.
    #[default]
    Retention,
    /// For ever, whatever the retention (`Nats-TTL: never`).
    Forever,
    /// For this long: at least one second, in whole seconds (`Nats-TTL: 10s`).
    For(Duration),
}

/// What must be true of a subject for a commit to be taken: its last entry has this position
/// ([`Position::NONE`]: it has none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The subject asked about; none: the entry's own.
    pub subject: Option<Subject>,
    /// The position of its last entry.
    pub last: Position,
}

/// An entry to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Where to.
    pub subject: Subject,
    /// Headers of the engine; the log adds those that its broker needs for the fields below.
    pub headers: Headers,
    /// The payload.
    pub payload: Bytes,
    /// True where it replaces all earlier entries of its subject (`Nats-Rollup: sub`).
    pub rollup: bool,
    /// How long it stays.
    pub keep: Keep,
    /// What must be true for the commit to be taken.
    pub expect: Option<Expect>,
}

impl NewEntry {
    /// An entry without headers, expectation or any special treatment.
    pub fn new(subject: Subject, payload: impl Into<Bytes>) -> NewEntry {
        NewEntry {
            subject,
            headers: Headers::new(),
            payload: payload.into(),
            rollup: false,
            keep: Keep::Retention,
            expect: None,
        }
    }
}

/// A commit that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The position of its last entry. Entries of one commit lie side by side, in their order.
    pub last: Position,
}

/// Why a commit was not taken, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// An expectation did not hold. Nothing was written.
    #[error("an expectation did not hold: {0}")]
    Refused(String),
    /// The log will never take this commit: too large, too many entries, a subject that it does not keep.
    /// Nothing was written.
    #[error("the log does not take this: {0}")]
    Invalid(String),
    /// The log could not be reached or was not ready. Nothing was written.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// No answer came. It may have been written, or may still be: only the log itself can tell, and only
    /// a new fence keeps a late one out.
    #[error("the log did not answer: {0}")]
    Unknown(String),
}

/// Receives the end of a commit, exactly once, on any thread; must not block.
pub type Done = Box<dyn FnOnce(Result<Committed, CommitError>) + Send>;

/// Why the log could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It cannot be reached or is not ready; trying again may help.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// It is gone, or answers in a way that makes no sense.
    #[error("the log cannot be read: {0}")]
    Broken(String),
}

/// What of each entry is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Everything but the payload.
    Headers,
}

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first entry that is still there; one past [`Bounds::last`] in an empty log.
    pub first: Position,
    /// The last position that was ever given out, whether or not its entry is still there.
    pub last: Position,
}

/// An app's log.
///
/// Guarantees: positions grow with each entry and are never given out twice; a commit is written whole or
/// not at all; commits handed over one after another by one caller, each of one entry, are written in that
/// order; what was acknowledged stays, as far as the log's storage keeps its word.
#[async_trait]
pub trait Log: Send + Sync {
    /// Where the log begins and ends now.
    async fn bounds(&self) -> Result<Bounds, ReadError>;

    /// Reads on from `from`, oldest first, entries whose subject matches one of `subjects`; all entries
    /// where `subjects` is empty. The reader goes on by itself when the log was away.
    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError>;

    /// Hands over a commit of 1 to [`MAX_COMMIT_ENTRIES`] entries: one entry is a single write, several are
    /// an atomic batch. Returns at once; `done` hears of the end.
    ///
    /// Within one commit, nothing may be expected of a subject that an earlier entry writes. Any number of
    /// entries may expect something of the same other subject.
    fn commit(&self, entries: Vec<NewEntry>, done: Done);

    /// The last entry of a subject, as of now: never an older one, also right after a commit was taken.
    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError>;

    /// The entry at a position; none where there is none any more, or not yet.
    async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ReadError>;

    /// The last entry of each subject that matches, by subject, at most `limit`.
    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError>;

    /// Removes the entries up to and with `last` whose subject is one of `subjects`. Positions stay as they are.
    ///
    /// No fence guards it: it is for entries of which the log itself says that nobody will ask again.
    async fn remove(&self, subjects: &Pattern, last: Position) -> Result<(), ReadError>;

    /// The largest entry that can be written: bytes of headers and payload together.
    fn max_entry_bytes(&self) -> usize;

    /// How often the connection to it was lost; it may begin to count anew.
    fn losses(&self) -> u64 {
        0
    }
}

/// Reads a log forward.
#[async_trait]
pub trait Reader: Send {
    /// Waits for entries and gives 1 to `max` of them, in order, each once. A future dropped while it waits
    /// loses none.
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError>;
}

/// Commits and waits for the end.
pub async fn commit(log: &dyn Log, entries: Vec<NewEntry>) -> Result<Committed, CommitError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    log.commit(entries, Box::new(move |end| drop(sender.send(end))));
    receiver.await.unwrap_or_else(|_| Err(CommitError::Unknown("the log was closed".to_owned())))
}
