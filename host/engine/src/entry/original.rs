//! The original: an event as it came, kept in an entry of the host's own until it is handled or for somebody to
//! look at.
//!
//! The payload of such an entry is the event's own, so that any client reads it; a header holds the rest as
//! JSON, the original headers included. Where both together would be larger than an entry may be, the payload
//! is left out: the original stands at its position for as long as the log keeps it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Event, HandlerName, Headers, Position, StreamName, Subject, decode};

use crate::port::log::Entry;

/// The longest id and reason that are kept, in bytes each.
pub const MAX_TEXT_BYTES: usize = 2 << 10;

/// The most bytes of original headers that are kept, as JSON. With the texts of the entries that hold an
/// original, which JSON may make six times as long, all fits into the headers that an entry may have.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

/// An event as it came, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Original {
    /// Who is to handle it.
    pub handler: HandlerName,
    /// The stream in which it stands; none: the app's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// Where it stands there.
    pub position: Position,
    /// The subject on which it was published.
    pub subject: Subject,
    /// The event's id; where it could not be decoded, the one that its headers name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The key by which the handler keeps order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its headers.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Its header block in base64, where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_headers: Option<String>,
    /// True where its headers were too large to be kept here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headers_omitted: bool,
    /// True where its payload was too large to be kept here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload_omitted: bool,
}

impl Original {
    /// The original of an entry, and of the event in it where it could be decoded.
    pub fn new(handler: &HandlerName, entry: &Entry, event: Option<&Event>) -> Original {
        let mut original = Original {
            handler: handler.clone(),
            stream: None,
            position: entry.position,
            subject: entry.subject.clone(),
            event_id: match event {
                Some(event) => Some(shortened(&event.id)),
                None => decode::id_in(&entry.headers).map(|id| shortened(&id)),
            },
            key: event.and_then(|event| event.key.clone()),
            headers: Vec::new(),
            broken_headers: None,
            headers_omitted: false,
            payload_omitted: false,
        };
        original.keep_headers(&entry.headers);
        original
    }

    /// Keeps the headers, unless they are too large.
    fn keep_headers(&mut self, headers: &Headers) {
        let pairs: Vec<_> = headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let size = serde_json::to_string(&pairs).map_or(0, |text| text.len());
        let broken = headers.broken().map(|block| STANDARD.encode(block));
        if size.max(broken.as_ref().map_or(0, String::len)) > MAX_HEADER_BYTES {
            self.headers_omitted = true;
            return;
        }
        self.headers = pairs;
        self.broken_headers = broken;
    }

    /// True where something of it is only to be found at its position.
    pub fn is_partial(&self) -> bool {
        self.headers_omitted || self.payload_omitted
    }

    /// The entry as it came, with this payload; it must not be partial.
    pub fn entry(&self, payload: Bytes, time: Timestamp) -> Entry {
        let broken = self.broken_headers.as_ref().and_then(|block| STANDARD.decode(block).ok());
        let headers = match broken {
            Some(block) => Headers::from_broken(block.into()),
            None => self.headers.iter().cloned().collect(),
        };
        Entry { position: self.position, subject: self.subject.clone(), headers, payload, time }
    }
}

/// Leaves out the middle: reasons begin with what happened and end with where.
pub(super) fn shortened(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let half = MAX_TEXT_BYTES / 2;
    let start = text.get(..text.floor_char_boundary(half)).unwrap_or_default();
    let end = text.get(text.ceil_char_boundary(text.len() - half)..).unwrap_or_default();
    format!("{start} … {end}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry with these headers.
    pub(in super::super) fn entry(headers: Headers, payload: usize) -> Entry {
        Entry {
            position: Position(7),
            subject: Subject::from_checked("orders.placed"),
            headers,
            payload: vec![b'x'; payload].into(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn gives_back_the_entry_that_it_was_made_of() {
        let plain = Headers::from_iter([("Nats-Msg-Id", "1"), ("ce-id", "ü")]);
        for headers in [plain, Headers::from_broken(Bytes::from_static(b"\xff\n"))] {
            let entry = entry(headers, 10);
            let original = Original::new(&"basket".parse().unwrap(), &entry, None);
            assert!(!original.is_partial());
            assert_eq!(original.entry(entry.payload.clone(), entry.time), entry);
        }
    }

    #[test]
    fn what_is_no_event_is_known_by_the_id_in_its_headers() {
        let known = |headers: &[(&str, &str)]| {
            let owned = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let entry = entry(owned.collect(), 10);
            Original::new(&"basket".parse().unwrap(), &entry, None).event_id
        };
        assert_eq!(known(&[("Nats-Msg-Id", "1"), ("ce-id", "%C3%BC")]).as_deref(), Some("ü"));
        assert_eq!(known(&[("ce-id", "%FF")]).as_deref(), Some("%FF"));
        assert_eq!(known(&[("Nats-Msg-Id", "1")]).as_deref(), Some("1"));
        assert_eq!(known(&[("ce-id", ""), ("Nats-Msg-Id", "1")]).as_deref(), Some("1"));
        assert_eq!(known(&[]), None);
        let long = "x".repeat(2 * MAX_TEXT_BYTES);
        assert!(known(&[("ce-id", &long)]).unwrap().len() < long.len());
    }

    #[test]
    fn leaves_out_headers_that_are_too_large() {
        let large = Headers::from_iter([("a", "b".repeat(MAX_HEADER_BYTES))]);
        let original = Original::new(&"basket".parse().unwrap(), &entry(large, 10), None);
        assert!(original.is_partial() && original.headers.is_empty());
    }

    #[test]
    fn shortens_long_texts_between_characters() {
        let text = format!("what {} where", "ü".repeat(MAX_TEXT_BYTES));
        let short = shortened(&text);
        assert!(short.len() <= MAX_TEXT_BYTES + 5);
        assert!(short.starts_with("what ü") && short.contains("ü … ü") && short.ends_with("ü where"));
    }
}
