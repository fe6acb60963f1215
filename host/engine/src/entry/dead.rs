//! The dead letter: `wx.<app>.dead.<handler>.<position>` keeps an event that a handler could not handle,
//! with the reason. The header `wx-dead` tells about it; see [`Original`] for what else the entry holds.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Digest, Failure, Subject, outcome::FailureKind};

use super::{EntryError, Original, kept, original::shortened};
use crate::port::log::{Entry, NewEntry};

/// The header that tells about the dead letter.
pub const HEADER: &str = "wx-dead";

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
    /// The event.
    #[serde(flatten)]
    pub original: Original,
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
    /// True where later events of its key wait until it is redriven or archived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds_key: bool,
}

impl About {
    /// An event that failed so after this many attempts, with shortened texts.
    pub fn new(
        original: Original,
        failure: &Failure,
        attempts: u32,
        module: Digest,
        time: Timestamp,
    ) -> About {
        About {
            original,
            kind: failure.kind,
            reason: shortened(&failure.reason),
            backtrace: failure.backtrace.as_deref().map(shortened),
            attempts,
            module,
            time,
            holds_key: false,
        }
    }
}

impl DeadLetter {
    /// Reads a dead letter.
    pub fn read(entry: Entry) -> Result<DeadLetter, EntryError> {
        Ok(DeadLetter { about: kept::read(&entry, HEADER)?, payload: entry.payload })
    }

    /// The entry that keeps it, of at most `max_bytes`. It replaces what stood there before.
    pub fn write(self, subject: Subject, max_bytes: usize) -> NewEntry {
        let DeadLetter { mut about, payload } = self;
        kept::write(subject, HEADER, payload, max_bytes, |omitted| {
            about.original.payload_omitted |= omitted;
            serde_json::to_string(&about).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use waxwing_event::{Headers, Position};

    use super::*;
    use crate::entry::original::tests::entry;

    fn letter(payload: usize, headers: Headers) -> DeadLetter {
        let entry = entry(headers, payload);
        let original = Original::new(&"basket".parse().unwrap(), &entry, None);
        let failure = Failure::new(FailureKind::Deadline, "line 1\nline 2 ü");
        let about = About::new(original, &failure, 1, Digest([7; 32]), Timestamp::UNIX_EPOCH);
        DeadLetter { about, payload: entry.payload }
    }

    fn through_the_log(letter: DeadLetter, max_bytes: usize) -> DeadLetter {
        let entry = letter.write(Subject::from_checked("wx.shop.dead.basket.7"), max_bytes);
        assert!(entry.headers.iter().all(|(_, v)| !v.contains('\n')));
        let NewEntry { subject, headers, payload, .. } = entry;
        let (position, time) = (Position(9), Timestamp::UNIX_EPOCH);
        DeadLetter::read(Entry { position, subject, headers, payload, time }).unwrap()
    }

    #[test]
    fn reads_what_it_writes() {
        let headers: Headers = [("Nats-Msg-Id", "1"), ("ce-id", "ü")].into_iter().collect();
        for letter in [letter(10, headers), letter(0, Headers::from_broken(Bytes::from_static(b"\xff\n")))] {
            assert_eq!(through_the_log(letter.clone(), 10_000), letter);
        }
    }

    #[test]
    fn keeps_the_largest_payload_that_fits() {
        let entry = |payload: usize, max_bytes: usize| {
            letter(payload, Headers::new()).write(Subject::from_checked("wx.shop.dead.basket.7"), max_bytes)
        };
        let whole = entry(1_000, usize::MAX);
        let bytes = whole.headers.size_bytes() + whole.payload.len();
        assert_eq!(entry(1_000, bytes), whole);
        assert!(entry(1_000, bytes - 1).payload.is_empty());
    }

    #[test]
    fn leaves_out_a_payload_that_does_not_fit() {
        let small = Headers::from_iter([("a", "b")]);
        assert!(!through_the_log(letter(1_000, small.clone()), 2_000).about.original.payload_omitted);
        assert!(through_the_log(letter(1_000, small), 1_000).about.original.payload_omitted);
    }

    #[test]
    fn stays_within_the_headers_of_an_entry() {
        let worst = "\u{1}".repeat(100_000);
        let entry = entry(Headers::from_iter([("a", worst.as_str())]), 10);
        let mut original = Original::new(&"basket".parse().unwrap(), &entry, None);
        original.event_id = Some(shortened(&worst));
        let mut failure = Failure::new(FailureKind::Trap, worst.as_str());
        failure.backtrace = Some(worst.clone());
        let about = About::new(original, &failure, 1, Digest([7; 32]), Timestamp::UNIX_EPOCH);
        let letter = DeadLetter { about, payload: entry.payload };
        let entry = letter.write(Subject::from_checked("wx.shop.dead.basket.7"), 1 << 20);
        assert!(entry.headers.size_bytes() < crate::port::log::MAX_HEADER_BYTES);
    }
}
