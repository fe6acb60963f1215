//! The event: the attributes of CloudEvents 1.0, and what the log adds to them.

use bytes::Bytes;

use crate::{Position, Subject};

/// One event, as a handler receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Identifies the event together with `source`; never empty.
    pub id: String,
    /// Where it comes from: a URI reference; never empty.
    pub source: String,
    /// What kind of event it is; never empty. CloudEvents calls it `type`.
    pub event_type: String,
    /// The NATS subject on which it was published.
    pub subject: Subject,
    /// What it is about, within its source. CloudEvents calls it `subject`.
    pub about: Option<String>,
    /// When it happened: RFC 3339, kept as it was written.
    pub time: Option<String>,
    /// The media type of `data`.
    pub content_type: Option<String>,
    /// The URI of the schema that `data` follows.
    pub data_schema: Option<String>,
    /// The id shared by everything that one first event has caused; its own id for a first event.
    pub correlation_id: String,
    /// The id of the event that caused this one; none for a first event.
    pub causation_id: Option<String>,
    /// Attributes other than those above, in the order in which they came.
    pub extensions: Vec<(String, String)>,
    /// The key by which its handler keeps order.
    pub key: Option<String>,
    /// Where it lies in the log; [`Position::NONE`] for a request and for a live message.
    pub position: Position,
    /// 1 for the first attempt to handle it.
    pub attempt: u32,
    /// The data, as it was published.
    pub data: Bytes,
}

impl Event {
    /// The value of an extension attribute.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
