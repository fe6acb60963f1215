//! The parked event: `wx.<app>.parked.<handler>.<position>` keeps an event that waits for its next attempt, or
//! behind another of its key. The header `wx-parked` tells about it; see [`Original`] for what else the entry
//! holds.
//!
//! It is written in the commit that marks the input handled, anew after each further attempt, and it is
//! replaced by a [tombstone](super::tombstone) in the commit of the run that ends the matter.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Failure, Subject, outcome::FailureKind};

use super::{EntryError, Original, kept, original::shortened};
use crate::port::log::{Entry, NewEntry};

/// The header that tells about the parked event.
pub const HEADER: &str = "wx-parked";

/// The most failures that are kept, the latest ones.
pub const MAX_FAILURES: usize = 3;

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Everything but the payload.
    pub about: About,
    /// The original payload.
    pub payload: Bytes,
}

/// What is known of a parked event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The event.
    #[serde(flatten)]
    pub original: Original,
    /// How often it was tried; 0 where it only waits behind another.
    pub attempts: u32,
    /// When it may run, if nothing else stands in its way.
    pub due: Timestamp,
    /// Since when it waits.
    pub since: Timestamp,
    /// Its latest failures, oldest first: at most [`MAX_FAILURES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failed>,
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When.
    pub time: Timestamp,
    /// The sort of failure.
    pub kind: FailureKind,
    /// What happened, for people.
    pub reason: String,
}

impl About {
    /// An event that was not tried yet and may run at once.
    pub fn untried(original: Original, now: Timestamp) -> About {
        About { original, attempts: 0, due: now, since: now, failures: Vec::new() }
    }

    /// Notes a failed attempt.
    pub fn failed(&mut self, attempt: u32, failure: &Failure, time: Timestamp) {
        self.attempts = attempt;
        let reason = shortened(&failure.reason);
        self.failures.push(Failed { attempt, time, kind: failure.kind, reason });
        let excess = self.failures.len().saturating_sub(MAX_FAILURES);
        self.failures.drain(..excess);
    }

    /// Reads what an entry tells, of which the headers are enough.
    pub fn read(entry: &Entry) -> Result<About, EntryError> {
        kept::read(entry, HEADER)
    }
}

impl ParkedEvent {
    /// Reads a parked event.
    pub fn read(entry: Entry) -> Result<ParkedEvent, EntryError> {
        Ok(ParkedEvent { about: About::read(&entry)?, payload: entry.payload })
    }

    /// The entry that keeps it, of at most `max_bytes`.
    pub fn write(self, subject: Subject, max_bytes: usize) -> NewEntry {
        let ParkedEvent { mut about, payload } = self;
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
    use crate::{entry::original::tests::entry, port::log::MAX_HEADER_BYTES};

    fn parked(reason: &str, headers: Headers) -> ParkedEvent {
        let entry = entry(headers, 10);
        let original = Original::new(&"basket".parse().unwrap(), &entry, None);
        let mut about = About::untried(original, Timestamp::UNIX_EPOCH);
        for attempt in 1..=5 {
            about.failed(attempt, &Failure::new(FailureKind::Retry, reason), Timestamp::UNIX_EPOCH);
        }
        ParkedEvent { about, payload: entry.payload }
    }

    #[test]
    fn reads_what_it_writes_and_keeps_the_latest_failures() {
        let parked = parked("later", Headers::from_iter([("ce-id", "1")]));
        let NewEntry { subject, headers, payload, .. } =
            parked.clone().write(Subject::from_checked("wx.shop.parked.basket.7"), 10_000);
        let (position, time) = (Position(9), Timestamp::UNIX_EPOCH);
        let read = ParkedEvent::read(Entry { position, subject, headers, payload, time }).unwrap();
        assert_eq!(read, parked);
        let attempts: Vec<_> = read.about.failures.iter().map(|failed| failed.attempt).collect();
        assert_eq!((read.about.attempts, attempts), (5, vec![3, 4, 5]));
    }

    #[test]
    fn stays_within_the_headers_of_an_entry() {
        let worst = "\u{1}".repeat(100_000);
        let parked = parked(&worst, Headers::from_iter([("a", worst.as_str())]));
        let entry = parked.write(Subject::from_checked("wx.shop.parked.basket.7"), 1 << 20);
        assert!(entry.headers.size_bytes() < MAX_HEADER_BYTES);
    }
}
