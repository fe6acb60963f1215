//! What a run left behind, one item at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::Level;

/// An event that a run emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Emitted {
    /// The NATS subject.
    pub subject: String,
    /// The CloudEvents type: the subject, where the handler said nothing else.
    pub event_type: String,
    /// The CloudEvents attribute `subject`.
    pub about: Option<String>,
    /// The media type of the data.
    pub content_type: String,
    /// The URI of the data's schema.
    pub data_schema: Option<String>,
    /// Further attributes.
    pub extensions: BTreeMap<String, String>,
    /// The data as it would be written.
    pub data: Vec<u8>,
}

impl Emitted {
    /// The data, from JSON.
    ///
    /// # Panics
    /// When the data is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.data).unwrap_or_else(|error| {
            let data = String::from_utf8_lossy(&self.data);
            panic!("event on `{}` has data `{data}`: {error}", self.subject)
        })
    }
}

/// The reply that a run gave to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replied {
    /// The data as it would be sent.
    pub data: Vec<u8>,
    /// The media type of the data.
    pub content_type: String,
    /// Named values: headers of the answer.
    pub attributes: BTreeMap<String, String>,
}

impl Replied {
    /// The data, from JSON.
    ///
    /// # Panics
    /// When the data is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.data).unwrap_or_else(|error| {
            panic!("the reply has data `{}`: {error}", String::from_utf8_lossy(&self.data))
        })
    }
}

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetTimer {
    /// When it fires: so long after 1970-01-01T00:00:00Z.
    pub due: Duration,
    /// What its event will say.
    pub data: Vec<u8>,
    /// The media type of the data.
    pub content_type: String,
    /// The key of the event whose run has set it.
    pub key: Option<String>,
}

/// A line that a run logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The message.
    pub message: String,
    /// Named values beside the message.
    pub fields: Vec<(String, String)>,
}
