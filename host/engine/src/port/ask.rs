//! Questions that a run asks others over the broker, at once: they are no effects of it.

use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_event::Subject;

/// Asks whoever listens.
#[async_trait]
pub trait Ask: Send + Sync {
    /// Asks, and waits for as many replies as are wanted, or for the time that there is: then for what has come,
    /// which is one reply at least. May be called and awaited on any thread, without a runtime.
    async fn ask(&self, question: Question) -> Result<Vec<Response>, AskError>;
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its id: the same whenever the same run asks it again (`Nats-Msg-Id`).
    pub id: Option<String>,
    /// Where to.
    pub subject: Subject,
    /// Its payload.
    pub payload: Bytes,
    /// Headers by which it can be followed (W3C Trace Context).
    pub trace: Vec<(&'static str, String)>,
    /// How long to wait.
    pub timeout: Duration,
    /// How many replies to wait for.
    pub replies: NonZeroU32,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The subject on which it came.
    pub subject: String,
    /// The media type of its payload, where it says it.
    pub content_type: Option<String>,
    /// Its payload.
    pub payload: Bytes,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The subject cannot be asked.
    #[error("a request cannot be sent to {0}")]
    Subject(String),
    /// The handler may not ask there.
    #[error("no grant of the handler covers a request to `{0}`: add it to `request` of its grants")]
    NotGranted(String),
    /// The question is larger than this limit, in bytes.
    #[error("a request is larger than its limit of {0} bytes")]
    TooLarge(u64),
    /// The run has asked this often.
    #[error("the run has reached its limit of {0} requests")]
    TooMany(u32),
    /// Nothing outside is to be noticed of this run.
    #[error("requests are not made in a rehearsal")]
    Rehearsed,
    /// No reply came in time.
    #[error("no reply came within {0:?}")]
    Timeout(Duration),
    /// Nobody listens, or the broker cannot be reached.
    #[error("{0}")]
    Away(String),
}
