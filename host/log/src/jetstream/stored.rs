//! Single entries, read from the stream's leader.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use waxwing_engine::port::log::{Entry, Part};
use waxwing_event::{Headers, Pattern, Position, Subject};

use super::{
    api::{Api, ApiError, code, malformed},
    headers,
};

#[derive(Deserialize)]
struct Answer {
    message: Message,
}

/// A stored message, as the API gives it.
#[derive(Deserialize)]
struct Message {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
    time: jiff::Timestamp,
}

impl Message {
    fn into_entry(self, part: Part) -> Result<Entry, ApiError> {
        let headers = match self.hdrs {
            Some(block) => headers::from_block(decoded(&block)?),
            None => Headers::new(),
        };
        let payload = match (part, self.data) {
            (Part::Whole, Some(data)) => decoded(&data)?,
            _ => Bytes::new(),
        };
        let subject = Subject::from_checked(&self.subject);
        Ok(Entry { position: Position(self.seq), subject, headers, payload, time: self.time })
    }
}

fn decoded(base64: &str) -> Result<Bytes, ApiError> {
    STANDARD.decode(base64).map(Bytes::from).map_err(malformed)
}

/// Reads single entries of one stream.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    api: Api,
    request: String,
}

impl Stored {
    pub(super) fn new(api: Api, stream: &str) -> Stored {
        Stored { api, request: format!("STREAM.MSG.GET.{stream}") }
    }

    /// The last entry of a subject.
    pub(super) async fn last(&self, subject: &str, part: Part) -> Result<Option<Entry>, ApiError> {
        self.get(&json!({ "last_by_subj": subject }), part).await
    }

    /// The entry at a position.
    pub(super) async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ApiError> {
        self.get(&json!({ "seq": position.0 }), part).await
    }

    /// The first entry at or after `from` that matches one of `filters`.
    pub(super) async fn next(
        &self,
        from: Position,
        filters: &[Pattern],
        part: Part,
    ) -> Result<Option<Entry>, ApiError> {
        let mut first: Option<Entry> = None;
        for filter in filters {
            let found = self.get(&json!({ "seq": from.0, "next_by_subj": filter.as_str() }), part).await?;
            first = match (first, found) {
                (Some(a), Some(b)) if b.position < a.position => Some(b),
                (None, found) => found,
                (first, _) => first,
            };
        }
        Ok(first)
    }

    async fn get(&self, which: &serde_json::Value, part: Part) -> Result<Option<Entry>, ApiError> {
        match self.api.call::<Answer>(&self.request, which).await {
            Ok(answer) => answer.message.into_entry(part).map(Some),
            Err(error) if error.is(code::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
