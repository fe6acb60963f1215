//! Why an aggregate could not be read or changed.

use std::error::Error;
use std::fmt;

use crate::emit::EmitError;

/// Why an aggregate could not be read or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AggregateError {
    /// The manifest gives the handler no `aggregate`.
    NoneHere,
    /// The id is empty or too long; with the host's words.
    InvalidId(String),
    /// The log could not be read. Trying the event again may help, so `?` asks for it.
    Unavailable(String),
    /// An entry of the history is no event; with the host's words.
    Damaged(String),
    /// The host did not take an event.
    Refused(EmitError),
    /// The snapshot is larger than this limit, in bytes.
    TooLarge(u64),
    /// The run has reached this many effects, or this many bytes of them.
    TooMany(u64),
    /// An event of the history is none that the aggregate knows: `upcast` may make one of it.
    Event {
        /// Its position in the log.
        position: u64,
        /// Its type.
        event_type: String,
        /// What serde says.
        source: serde_json::Error,
    },
    /// The aggregate cannot be read from its own snapshot, or JSON cannot say it.
    Snapshot {
        /// Its id.
        id: String,
        /// What serde says.
        source: serde_json::Error,
    },
    /// JSON cannot say an event.
    Json(serde_json::Error),
}

impl fmt::Display for AggregateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneHere => f.write_str(
                "the manifest names no `aggregate` for this handler: add `aggregate = \"accounts.*\"`",
            ),
            Self::InvalidId(why) => write!(f, "the aggregate's id is not allowed: {why}"),
            Self::Unavailable(why) => write!(f, "the history cannot be read now: {why}"),
            Self::Damaged(why) => write!(f, "the history is damaged: {why}"),
            Self::Refused(_) => f.write_str("an event cannot be appended"),
            Self::TooLarge(limit) => write!(f, "the aggregate is larger than {limit} bytes"),
            Self::TooMany(limit) => write!(f, "the run has reached its limit of effects, {limit}"),
            Self::Event { position, event_type, .. } => {
                write!(f, "the event `{event_type}` at position {position} is none that the aggregate knows")
            }
            Self::Snapshot { id, .. } => {
                write!(f, "the aggregate `{id}` cannot be saved as JSON and read again")
            }
            Self::Json(_) => f.write_str("an aggregate's event cannot be written as JSON"),
        }
    }
}

impl Error for AggregateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(source) => Some(source),
            Self::Event { source, .. } | Self::Snapshot { source, .. } | Self::Json(source) => Some(source),
            _ => None,
        }
    }
}
