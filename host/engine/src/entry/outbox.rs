//! The outbox: `wx.<app>.outbox.<handler>.<event id>` holds an emitted event for a subject outside the log
//! until it is out.
//!
//! Payload and headers are the event's own; the header `wx-to` says who is to have it, and where:
//! `stream audit.orders` or `live screens.4`. It is kept for ever, whatever the log's retention, and removed
//! when it is out and its mark is counted. One that is refused for good is kept under
//! `wx.<app>.refused.<handler>.<event id>` instead, with the reason in the header `wx-refused`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{HandlerName, Headers, Position, Subject, handler::Audience};

use super::{EntryError, Layout, json, original::shortened, tombstone};
use crate::port::{
    log::{Entry, Keep, NewEntry},
    outside::Message,
};

/// The header that says where an event goes.
pub const TO_HEADER: &str = "wx-to";

/// The header that tells about a refusal.
pub const REFUSED_HEADER: &str = "wx-refused";

/// An event in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where its entry stands in the log.
    pub position: Position,
    /// When that was written.
    pub time: Timestamp,
    /// The event itself.
    pub message: Message,
}

/// Turns the entry of an emitted event, as its target would have it, into one of the outbox.
pub fn write(
    layout: &Layout,
    handler: &HandlerName,
    id: &str,
    audience: Audience,
    entry: NewEntry,
) -> NewEntry {
    let to = format!("{} {}", word(audience), entry.subject);
    let mut entry = NewEntry { subject: layout.outbox(handler, id), keep: Keep::Forever, ..entry };
    entry.headers.push(TO_HEADER, to);
    entry
}

impl Outgoing {
    /// Reads an entry of the outbox, or one that was refused.
    pub fn read(entry: Entry) -> Result<Outgoing, EntryError> {
        let missing =
            |name: &str| EntryError::new(&entry, format!("the header `{name}` is missing or malformed"));
        let to = entry.headers.get(TO_HEADER).and_then(|to| to.split_once(' '));
        let (audience, subject) = to.ok_or_else(|| missing(TO_HEADER))?;
        let audience = match audience {
            "stream" => Audience::Stream,
            "live" => Audience::Live,
            _ => return Err(missing(TO_HEADER)),
        };
        let subject: Subject = subject.parse().map_err(|error| EntryError::new(&entry, error))?;
        let id = entry.subject.tokens().last().unwrap_or_default().to_owned();
        let headers = own_headers(&entry.headers);
        let Entry { position, time, payload, .. } = entry;
        Ok(Outgoing { position, time, message: Message { id, subject, audience, headers, payload } })
    }

    /// The entry that keeps it where it was refused.
    pub fn refused(&self, layout: &Layout, handler: &HandlerName, about: &Refusal) -> NewEntry {
        let mut entry = self.entry(layout.refused(handler, &self.message.id));
        entry.rollup = true;
        entry.headers.push(REFUSED_HEADER, serde_json::to_string(about).unwrap_or_default());
        entry
    }

    /// The entry that puts it into the outbox again.
    pub fn again(&self, layout: &Layout, handler: &HandlerName) -> NewEntry {
        self.entry(layout.outbox(handler, &self.message.id))
    }

    fn entry(&self, subject: Subject) -> NewEntry {
        let Message { subject: to, audience, headers, payload, .. } = &self.message;
        let mut entry = NewEntry::new(subject, payload.clone());
        entry.keep = Keep::Forever;
        entry.headers = headers.clone();
        entry.headers.push(TO_HEADER, format!("{} {to}", word(*audience)));
        entry
    }
}

/// What is known of a refused event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Why it is not taken.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside.
    pub time: Timestamp,
}

impl Refusal {
    /// A refusal; a long reason is shortened.
    pub fn new(reason: &str, attempts: u32, time: Timestamp) -> Refusal {
        Refusal { reason: shortened(reason), attempts, time }
    }

    /// What the entry of a refused event tells.
    pub fn read(entry: &Entry) -> Result<Refusal, EntryError> {
        let text = entry.headers.get(REFUSED_HEADER).unwrap_or_default();
        serde_json::from_str(text).map_err(|error| EntryError::new(entry, error))
    }
}

/// How far a handler's outbox has been relayed: `wx.<app>.relayed.<handler>`, saved now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Relayed {
    /// Every entry of the outbox up to here is out, or set aside.
    pub up_to: Position,
}

impl Relayed {
    /// Reads the entry. A place behind the entry that saves it is one in another log: nothing counts as out then.
    pub fn read(entry: &Entry) -> Result<Relayed, EntryError> {
        let relayed: Relayed = json::read(entry)?;
        Ok(if relayed.up_to < entry.position { relayed } else { Relayed::default() })
    }

    /// The entry that saves it.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry
    }
}

/// How far handlers' outboxes are out, by the entries of [`Layout::all_relayed`]. Of one whose entry cannot be read
/// nothing counts as out: its relay stands still.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<HandlerName, Position>);

impl Places {
    /// What the entries say.
    pub fn read(layout: &Layout, entries: &[Entry]) -> Places {
        let place =
            |entry: &Entry| Some((layout.handler_of(&entry.subject)?, Relayed::read(entry).ok()?.up_to));
        Places(entries.iter().filter_map(place).collect())
    }

    /// True where this entry of a handler's outbox is out, or set aside, or no longer one.
    pub fn is_out(&self, handler: &HandlerName, entry: &Entry) -> bool {
        tombstone::is(entry) || self.0.get(handler).is_some_and(|up_to| entry.position <= *up_to)
    }
}

fn word(audience: Audience) -> &'static str {
    match audience {
        Audience::Stream => "stream",
        Audience::Live => "live",
    }
}

/// The headers of the event itself: what host and server have added stays in the log.
fn own_headers(headers: &Headers) -> Headers {
    let added = |name: &str| {
        let starts =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        starts("wx-") || starts("nats-")
    };
    let own = headers.iter().filter(|(name, _)| !added(name));
    own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (Layout, HandlerName) {
        (Layout::new("shop".parse().unwrap()), "basket".parse().unwrap())
    }

    fn stored(new: NewEntry) -> Entry {
        let NewEntry { subject, mut headers, payload, .. } = new;
        headers.push("wx-mark", "basket 0 7 0 6");
        headers.push("Nats-TTL", "never");
        Entry { position: Position(9), subject, headers, payload, time: Timestamp::UNIX_EPOCH }
    }

    fn emitted() -> NewEntry {
        let mut entry = NewEntry::new(Subject::from_checked("audit.a"), "data");
        entry.headers.push("ce-id", "id-1");
        entry
    }

    #[test]
    fn an_event_comes_out_as_it_went_in_without_what_the_log_added() {
        let (layout, handler) = layout();
        for audience in [Audience::Stream, Audience::Live] {
            let entry = write(&layout, &handler, "id-1", audience, emitted());
            assert_eq!(entry.subject.as_str(), "wx.shop.outbox.basket.id-1");
            assert_eq!(entry.keep, Keep::Forever);
            let outgoing = Outgoing::read(stored(entry.clone())).unwrap();
            let message = &outgoing.message;
            assert_eq!((message.id.as_str(), message.subject.as_str()), ("id-1", "audit.a"));
            assert_eq!((message.audience, &message.payload[..]), (audience, &b"data"[..]));
            assert_eq!(message.headers.iter().collect::<Vec<_>>(), [("ce-id", "id-1")]);
            assert_eq!(outgoing.again(&layout, &handler), entry);
        }
    }

    #[test]
    fn a_refused_event_keeps_all_and_its_reason() {
        let (layout, handler) = layout();
        let outgoing =
            Outgoing::read(stored(write(&layout, &handler, "id-1", Audience::Stream, emitted()))).unwrap();
        let about = Refusal::new(&"x".repeat(100_000), 5, Timestamp::UNIX_EPOCH);
        let entry = stored(outgoing.refused(&layout, &handler, &about));
        assert_eq!(entry.subject.as_str(), "wx.shop.refused.basket.id-1");
        assert!(entry.headers.size_bytes() < 8_000);
        assert_eq!(Refusal::read(&entry).unwrap(), about);
        assert_eq!(Outgoing::read(entry).unwrap(), outgoing);
    }

    #[test]
    fn a_place_behind_its_own_entry_is_none() {
        let (layout, handler) = layout();
        for (up_to, read) in [(8, 8), (9, 0), (10, 0)] {
            let entry = stored(Relayed { up_to: Position(up_to) }.write(layout.relayed(&handler)));
            assert_eq!(Relayed::read(&entry).unwrap(), Relayed { up_to: Position(read) });
        }
    }

    #[test]
    fn what_stands_up_to_the_saved_place_is_out() {
        let (layout, handler) = layout();
        let saved = stored(Relayed { up_to: Position(7) }.write(layout.relayed(&handler)));
        let places = Places::read(&layout, &[saved]);
        let at = |position| Entry {
            position: Position(position),
            ..stored(write(&layout, &handler, "id-1", Audience::Live, emitted()))
        };
        assert_eq!([6, 7, 8].map(|position| places.is_out(&handler, &at(position))), [true, true, false]);
        assert!(!places.is_out(&"other".parse().unwrap(), &at(6)));
        assert!(places.is_out(&handler, &stored(tombstone::write(layout.outbox(&handler, "id-1")))));
    }

    #[test]
    fn refuses_entries_that_say_not_where_to() {
        for to in [None, Some("audit.a"), Some("post audit.a"), Some("live a..b")] {
            let mut entry = stored(emitted());
            to.into_iter().for_each(|to| entry.headers.push(TO_HEADER, to));
            assert!(Outgoing::read(entry).is_err(), "{to:?}");
        }
    }
}
