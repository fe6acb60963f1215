//! What the tests of a handler ask, and what they hear: lines of JSON. The SDK's `testing::module` has the other end.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waxwing_event::{Event, Position, SecretName, subject::SubjectError};

/// What a run finds, and what it is run on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    pub(super) event: Record,
    /// The id of the timer whose event it is.
    pub(super) timer: Option<String>,
    pub(super) is_asked: bool,
    /// What time it is: so long after 1970-01-01T00:00:00Z.
    pub(super) now_ms: i64,
    pub(super) settings: BTreeMap<String, String>,
    /// Secrets that it may read. A crate with an SDK of before has none.
    #[serde(default)]
    pub(super) secrets: BTreeMap<SecretName, Vec<u8>>,
    /// Where it may emit; none: anywhere.
    pub(super) grants: Option<Vec<String>>,
    /// Where histories stand.
    pub(super) aggregate: Option<String>,
    pub(super) state: BTreeMap<String, Vec<u8>>,
    /// Keys of the state that are snapshots, and up to which event.
    pub(super) snapshots: BTreeMap<String, u64>,
    pub(super) histories: BTreeMap<String, Vec<Record>>,
    pub(super) timers: BTreeMap<String, Timer>,
}

/// What came of a run.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Came {
    /// Why there is nothing to tell.
    pub(super) error: Option<String>,
    pub(super) failure: Option<Failed>,
    pub(super) emitted: Vec<Record>,
    pub(super) reply: Option<Reply>,
    pub(super) state: BTreeMap<String, Vec<u8>>,
    pub(super) snapshots: Vec<String>,
    pub(super) histories: BTreeMap<String, Vec<Record>>,
    pub(super) timers: BTreeMap<String, Timer>,
}

/// Why a run has no effect.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failed {
    pub(super) is_retry: bool,
    pub(super) after_ms: Option<u64>,
    pub(super) reason: String,
}

/// An answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply {
    pub(super) data: Vec<u8>,
    pub(super) content_type: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
}

/// A timer that is set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timer {
    /// When it fires: so long after 1970-01-01T00:00:00Z.
    pub(super) due_ms: i64,
    pub(super) data: Vec<u8>,
    pub(super) content_type: Option<String>,
    pub(super) key: Option<String>,
}

/// An event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: String,
    about: Option<String>,
    time: Option<String>,
    content_type: Option<String>,
    data_schema: Option<String>,
    correlation_id: String,
    causation_id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) position: u64,
    pub(super) attempt: u32,
    extensions: Vec<(String, String)>,
    data: Vec<u8>,
}

impl Record {
    /// The event that it tells of.
    pub(super) fn event(self) -> Result<Event, SubjectError> {
        Ok(Event {
            id: self.id,
            source: self.source,
            event_type: self.event_type,
            subject: self.subject.parse()?,
            about: self.about,
            time: self.time,
            content_type: self.content_type,
            data_schema: self.data_schema,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            extensions: self.extensions,
            key: self.key,
            position: Position(self.position),
            attempt: self.attempt,
            data: Bytes::from(self.data),
        })
    }

    /// Tells of an event.
    pub(super) fn of(event: Event) -> Record {
        Record {
            id: event.id,
            source: event.source,
            event_type: event.event_type,
            subject: event.subject.to_string(),
            about: event.about,
            time: event.time,
            content_type: event.content_type,
            data_schema: event.data_schema,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            key: event.key,
            position: event.position.0,
            attempt: event.attempt,
            extensions: event.extensions,
            data: event.data.into(),
        }
    }
}
