//! The timer: `wx.<app>.timer.<handler>.<id>` keeps an event that a handler sends to itself later. It has the headers
//! and the payload of the event that arrives when it fires; the header `wx-timer` tells when, and under which key.
//!
//! A [tombstone](super::tombstone) takes its place in the commit that cancels it, or that ends or parks its event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Due, Event, Subject, encode};

use super::{EntryError, kept};
use crate::port::{
    clock::after,
    log::{Entry, Keep, NewEntry},
};

/// The header that tells about the timer.
pub const HEADER: &str = "wx-timer";

/// The type of the event that arrives when a timer fires.
pub const EVENT_TYPE: &str = "waxwing.timer";

/// The most bytes that a timer's data may have: it must fit into a parked event, which is kept nowhere else.
pub const MAX_DATA_BYTES: usize = 64 << 10;

/// What is known of a timer beside its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// When it fires.
    pub due: Timestamp,
    /// The key of the event whose run has set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl About {
    /// Reads what an entry tells, of which the headers are enough.
    pub fn read(entry: &Entry) -> Result<About, EntryError> {
        kept::read(entry, HEADER)
    }
}

/// The entry that sets a timer.
pub fn write(subject: Subject, about: &About, event: &Event) -> NewEntry {
    let mut entry = NewEntry::new(subject, event.data.clone());
    entry.headers = encode::headers(event);
    entry.headers.push(HEADER, serde_json::to_string(about).unwrap_or_default());
    entry.rollup = true;
    entry.keep = Keep::Forever;
    entry
}

/// When a timer fires that is set now.
pub fn when(due: Due, now: Timestamp) -> Timestamp {
    match due {
        Due::After(wait) => after(now, wait),
        Due::At(since) => after(Timestamp::UNIX_EPOCH, since),
    }
}

/// True where the entry is a timer's, by its subject: others may write the header elsewhere.
pub fn is_on(subject: &Subject) -> bool {
    let mut tokens = subject.tokens();
    tokens.next() == Some("wx") && tokens.nth(1) == Some("timer")
}

#[cfg(test)]
mod tests {
    use waxwing_event::Headers;

    use super::*;
    use crate::entry::original::tests::entry;

    #[test]
    fn is_known_by_its_subject() {
        for (subject, is) in
            [("wx.shop.timer.saga.1", true), ("wx.shop.state.saga.1", false), ("a.b.timer.c", false)]
        {
            assert_eq!(is_on(&Subject::from_checked(subject)), is, "{subject}");
        }
    }

    #[test]
    fn tells_when_and_under_which_key() {
        let about = About { due: Timestamp::UNIX_EPOCH, key: Some("ü".into()) };
        let headers = Headers::from_iter([(HEADER, serde_json::to_string(&about).unwrap())]);
        assert_eq!(About::read(&entry(headers, 0)).unwrap(), about);
        assert!(About::read(&entry(Headers::new(), 0)).is_err());
    }
}
