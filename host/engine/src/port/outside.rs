//! What lies outside the app's log: subjects to publish to, and streams to read.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use waxwing_event::{Headers, Pattern, Position, StreamName, Subject, handler::Audience};

use super::log::{Bounds, Part, ReadError, Reader};

/// All that an app may reach outside its log.
#[derive(Clone)]
pub struct Outside {
    /// Subjects to publish to.
    pub publish: Arc<dyn Publish>,
    /// Streams to read.
    pub streams: Arc<dyn Streams>,
}

impl Default for Outside {
    /// Nothing: nobody takes an event, and there is no stream.
    fn default() -> Outside {
        Outside { publish: Arc::new(Nowhere), streams: Arc::new(Nowhere) }
    }
}

/// An event on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id: the same each time that it is sent (`Nats-Msg-Id`).
    pub id: String,
    /// Where to.
    pub subject: Subject,
    /// Who is to have it.
    pub audience: Audience,
    /// Its headers: those of CloudEvents in binary mode.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
}

impl Message {
    /// Bytes of headers and payload.
    pub fn size_bytes(&self) -> usize {
        self.headers.size_bytes() + self.payload.len()
    }
}

/// That a message is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// A stream has it.
    Kept,
    /// Whoever listened was told.
    Told,
}

/// Why a message is not known to be out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is not taken as it is: too large, no permission.
    #[error("it is refused: {0}")]
    Refused(String),
    /// It was not taken now, or no answer came; sending it again may help.
    #[error("{0}")]
    Away(String),
}

/// Receives the end of one sending, exactly once, on any thread; must not block.
pub type Done = Box<dyn FnOnce(Result<Sent, SendError>) + Send>;

/// Publishes to subjects outside the app's log.
///
/// Guarantees: what is handed over one after another by one caller goes out in that order; [`Sent`] is told only
/// of what is out.
pub trait Publish: Send + Sync {
    /// Sends a message and reports its end.
    fn publish(&self, message: Message, done: Done);
}

/// Streams that the app does not own. They are read and never written.
#[async_trait]
pub trait Streams: Send + Sync {
    /// Looks at a stream as it is now.
    async fn open(&self, name: &StreamName) -> Result<OpenStream, OpenError>;
}

/// Why a stream cannot be read now, and what to do about it. It may be there later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

/// A stream that was looked at.
pub struct OpenStream {
    /// Where it begins and ends.
    pub bounds: Bounds,
    /// When it was made. Another time under the same name is another stream: its positions are others.
    pub made: Timestamp,
    /// Its entries. Reading fails when another stream has taken its place.
    pub entries: Arc<dyn Read>,
}

/// Something that can be read forward.
#[async_trait]
pub trait Read: Send + Sync {
    /// As [`Log::read`](super::Log::read).
    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError>;
}

/// Nothing outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Publish for Nowhere {
    fn publish(&self, message: Message, done: Done) {
        done(Err(SendError::Away(format!("nothing outside takes `{}`", message.subject))));
    }
}

#[async_trait]
impl Streams for Nowhere {
    async fn open(&self, name: &StreamName) -> Result<OpenStream, OpenError> {
        Err(OpenError(format!("there is no stream `{name}`")))
    }
}
