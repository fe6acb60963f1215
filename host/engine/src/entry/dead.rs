//! The dead letter: `wx.<app>.dead.<handler>.<position>` keeps an event that a handler could not handle,
//! with the reason.
//!
//! The payload is the event's own, so that any client reads it; the header `wx-dead` holds the rest as JSON,
//! the original headers included. Where both together would be larger than an entry may be, the payload is
//! left out: the original stands at its position for as long as the log keeps it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Digest, Failure, HandlerName, Headers, Position, Subject, outcome::FailureKind};

use super::EntryError;
use crate::port::log::{Entry, Keep, NewEntry};

/// The header that tells about the dead letter.
pub const HEADER: &str = "wx-dead";

/// The longest id, reason and backtrace that are kept, in bytes each.
pub const MAX_TEXT_BYTES: usize = 2 << 10;

/// The most bytes of original headers that are kept, as JSON. With the texts above, which JSON may make six
/// times as long, all fits into the headers that an entry may have.
pub const MAX_ORIGINAL_HEADER_BYTES: usize = 16 << 10;

/// An event that a handler could not handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Everything but the payload.
    pub about: About,
    /// The original payload.
    pub payload: Bytes,
}

/// What is known of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Who could not handle it.
    pub handler: HandlerName,
    /// Where the original stands in the log.
    pub position: Position,
    /// The subject on which it was published.
    pub subject: Subject,
    /// The event's id; none where it could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The key by which the handler keeps order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The sort of failure.
    pub kind: FailureKind,
    /// What happened, for people.
    pub reason: String,
    /// Functions on the guest's stack, innermost first, one a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// The module that ran.
    pub module: Digest,
    /// When it was given up.
    pub time: Timestamp,
    /// The original headers.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The original header block in base64, where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_headers: Option<String>,
    /// True where the original headers were too large to be kept here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headers_omitted: bool,
    /// True where the payload was too large to be kept here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload_omitted: bool,
}

impl About {
    /// Sets what failed, shortened to [`MAX_TEXT_BYTES`].
    pub fn set_failure(&mut self, failure: &Failure) {
        self.kind = failure.kind;
        self.reason = shortened(&failure.reason);
        self.backtrace = failure.backtrace.as_deref().map(shortened);
    }

    /// Takes over the original headers, unless they are too large.
    pub fn set_headers(&mut self, headers: &Headers) {
        let pairs: Vec<_> = headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let size = serde_json::to_string(&pairs).map_or(0, |text| text.len());
        let broken = headers.broken().map(|block| STANDARD.encode(block));
        if size.max(broken.as_ref().map_or(0, String::len)) > MAX_ORIGINAL_HEADER_BYTES {
            self.headers_omitted = true;
            return;
        }
        self.headers = pairs;
        self.broken_headers = broken;
    }

    /// Sets the event's id, shortened to [`MAX_TEXT_BYTES`].
    pub fn set_event_id(&mut self, id: &str) {
        self.event_id = Some(shortened(id));
    }
}

impl DeadLetter {
    /// Reads a dead letter.
    pub fn read(entry: Entry) -> Result<DeadLetter, EntryError> {
        let Some(text) = entry.headers.get(HEADER) else {
            return Err(EntryError::new(&entry, format!("the header `{HEADER}` is missing")));
        };
        let about = serde_json::from_str(text).map_err(|e| EntryError::new(&entry, e))?;
        Ok(DeadLetter { about, payload: entry.payload })
    }

    /// The entry that keeps it, of at most `max_bytes`.
    pub fn write(mut self, subject: Subject, max_bytes: usize) -> NewEntry {
        let mut headers = self.headers();
        if headers.size_bytes() + self.payload.len() > max_bytes {
            self.payload = Bytes::new();
            self.about.payload_omitted = true;
            headers = self.headers();
        }
        let mut entry = NewEntry::new(subject, self.payload);
        entry.keep = Keep::Forever;
        entry.headers = headers;
        entry
    }

    fn headers(&self) -> Headers {
        [(HEADER, serde_json::to_string(&self.about).unwrap_or_default())].into_iter().collect()
    }
}

/// Leaves out the middle: reasons begin with what happened and end with where.
fn shortened(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let half = MAX_TEXT_BYTES / 2;
    let start = text.get(..text.floor_char_boundary(half)).unwrap_or_default();
    let end = text.get(text.ceil_char_boundary(text.len() - half)..).unwrap_or_default();
    format!("{start} … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: usize, headers: &Headers) -> DeadLetter {
        let mut about = About {
            handler: "basket".parse().unwrap(),
            position: Position(7),
            subject: Subject::from_checked("orders.placed"),
            event_id: None,
            key: None,
            kind: FailureKind::Trap,
            reason: String::new(),
            backtrace: None,
            attempts: 1,
            module: Digest([7; 32]),
            time: Timestamp::UNIX_EPOCH,
            headers: Vec::new(),
            broken_headers: None,
            headers_omitted: false,
            payload_omitted: false,
        };
        about.set_failure(&Failure::new(FailureKind::Deadline, "line 1\nline 2 ü"));
        about.set_headers(headers);
        DeadLetter { about, payload: vec![b'x'; payload].into() }
    }

    fn through_the_log(letter: DeadLetter, max_bytes: usize) -> DeadLetter {
        let entry = letter.write(Subject::from_checked("wx.shop.dead.basket.7"), max_bytes);
        assert!(entry.headers.iter().all(|(_, v)| !v.contains('\n')));
        let NewEntry { subject, headers, payload, .. } = entry;
        DeadLetter::read(Entry {
            position: Position(9),
            subject,
            headers,
            payload,
            time: Timestamp::UNIX_EPOCH,
        })
        .unwrap()
    }

    #[test]
    fn reads_what_it_writes() {
        let headers: Headers = [("Nats-Msg-Id", "1"), ("ce-id", "ü")].into_iter().collect();
        for letter in [letter(10, &headers), letter(0, &Headers::from_broken(Bytes::from_static(b"\xff\n")))]
        {
            assert_eq!(through_the_log(letter.clone(), 10_000), letter);
        }
    }

    #[test]
    fn keeps_the_largest_payload_that_fits() {
        let entry = |payload: usize, max_bytes: usize| {
            letter(payload, &Headers::new()).write(Subject::from_checked("wx.shop.dead.basket.7"), max_bytes)
        };
        let whole = entry(1_000, usize::MAX);
        let bytes = whole.headers.size_bytes() + whole.payload.len();
        assert_eq!(entry(1_000, bytes), whole);
        assert!(entry(1_000, bytes - 1).payload.is_empty());
    }

    #[test]
    fn leaves_out_what_does_not_fit() {
        let small = Headers::from_iter([("a", "b")]);
        assert!(!through_the_log(letter(1_000, &small), 2_000).about.payload_omitted);
        assert!(through_the_log(letter(1_000, &small), 1_000).about.payload_omitted);
        let large = Headers::from_iter([("a", "b".repeat(MAX_ORIGINAL_HEADER_BYTES))]);
        let read = through_the_log(letter(10, &large), 10_000);
        assert!(read.about.headers_omitted && read.about.headers.is_empty());
    }

    #[test]
    fn stays_within_the_headers_of_an_entry() {
        let worst = "\u{1}".repeat(100_000);
        let mut letter = letter(10, &Headers::from_iter([("a", worst.as_str())]));
        letter.about.set_event_id(&worst);
        let mut failure = Failure::new(FailureKind::Trap, worst.as_str());
        failure.backtrace = Some(worst.clone());
        letter.about.set_failure(&failure);
        let entry = letter.write(Subject::from_checked("wx.shop.dead.basket.7"), 1 << 20);
        assert!(entry.headers.size_bytes() < crate::port::log::MAX_HEADER_BYTES);
    }

    #[test]
    fn shortens_long_reasons_between_characters() {
        let text = format!("what {} where", "ü".repeat(MAX_TEXT_BYTES));
        let short = shortened(&text);
        assert!(short.len() <= MAX_TEXT_BYTES + 5);
        assert!(short.starts_with("what ü") && short.contains("ü … ü") && short.ends_with("ü where"));
    }
}
