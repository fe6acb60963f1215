//! Events, data and entries as a capture holds them: byte for byte.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waxwing_engine::{
    entry::mark,
    port::log::{Entry, NewEntry},
};
use waxwing_event::{Event, Headers, Position, Subject};

/// Says where an event stands in a trace.
const TRACE: &str = "ce-traceparent";

/// Bytes: as text where they are UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Base64(String),
}

impl Data {
    /// These bytes.
    pub fn of(bytes: &[u8]) -> Data {
        match std::str::from_utf8(bytes) {
            Ok(text) => Data::Text(text.to_owned()),
            Err(_) => Data::Base64(STANDARD.encode(bytes)),
        }
    }

    /// The bytes; an error where the base64 is damaged.
    pub fn bytes(&self) -> Result<Bytes, base64::DecodeError> {
        Ok(match self {
            Data::Text(text) => Bytes::from(text.clone()),
            Data::Base64(text) => STANDARD.decode(text)?.into(),
        })
    }
}

/// An event, as a handler receives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventRecord {
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: Subject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_schema: Option<String>,
    correlation_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    position: Position,
    attempt: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<(String, String)>,
    data: Data,
}

impl EventRecord {
    /// This event.
    pub fn of(event: &Event) -> EventRecord {
        let event = event.clone();
        EventRecord {
            id: event.id,
            source: event.source,
            event_type: event.event_type,
            subject: event.subject,
            about: event.about,
            time: event.time,
            content_type: event.content_type,
            data_schema: event.data_schema,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            key: event.key,
            position: event.position,
            attempt: event.attempt,
            extensions: event.extensions,
            data: Data::of(&event.data),
        }
    }

    /// The event; an error where its data is damaged.
    pub fn event(&self) -> Result<Event, base64::DecodeError> {
        let record = self.clone();
        Ok(Event {
            data: record.data.bytes()?,
            id: record.id,
            source: record.source,
            event_type: record.event_type,
            subject: record.subject,
            about: record.about,
            time: record.time,
            content_type: record.content_type,
            data_schema: record.data_schema,
            correlation_id: record.correlation_id,
            causation_id: record.causation_id,
            extensions: record.extensions,
            key: record.key,
            position: record.position,
            attempt: record.attempt,
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands in the log.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// An entry that a run has written, without what the log and the host's bookkeeping add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryRecord {
    /// Which of its run's entries it is, from 0.
    pub index: u32,
    /// Its subject.
    pub subject: Subject,
    /// Its headers, sorted.
    pub headers: Vec<(String, String)>,
    /// Its payload.
    pub data: Data,
}

impl EntryRecord {
    /// An entry of the log.
    pub fn of(index: u32, entry: &Entry) -> EntryRecord {
        EntryRecord {
            index,
            subject: entry.subject.clone(),
            headers: own(&entry.headers),
            data: Data::of(&entry.payload),
        }
    }

    /// An entry that would be written.
    pub fn of_new(index: u32, entry: &NewEntry) -> EntryRecord {
        EntryRecord {
            index,
            subject: entry.subject.clone(),
            headers: own(&entry.headers),
            data: Data::of(&entry.payload),
        }
    }

    /// True where both are the same, wherever in their runs they come.
    pub fn is_same(&self, other: &EntryRecord) -> bool {
        (&self.subject, &self.headers, &self.data) == (&other.subject, &other.headers, &other.data)
    }
}

/// Headers that are the event's or the value's own: not what the host says of the commit, or of the trace.
fn own(headers: &Headers) -> Vec<(String, String)> {
    let is_hosts = |name: &str| name == mark::HEADER || name.eq_ignore_ascii_case(TRACE);
    let is_own = |name: &str| !is_hosts(name) && !name.to_ascii_lowercase().starts_with("nats-");
    let own = headers.iter().filter(|(name, _)| is_own(name));
    let mut own: Vec<_> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    own.sort();
    own
}
