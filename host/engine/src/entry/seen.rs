//! What was seen: `wx.<app>.seen.<handler>.<id>` keeps the answer to the request of this `Nats-Msg-Id`.
//!
//! It is written in the commit of the request's effects, so it tells that they are there, too. The payload is
//! the answer's own; the header `wx-reply` holds the answer's headers as JSON. It goes by its TTL: until then a
//! second request of the same id gets the same answer.
//!
//! `wx.<app>.seen.<handler>.=.<uuid>` says that the event was handled of whose subject, source and id the UUID is made:
//! one that comes again, at another position, has no effects. It is empty.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;
use waxwing_event::{Event, Headers, Position, Subject};

use super::{EntryError, slot};
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// The header that holds the answer's headers.
pub const HEADER: &str = "wx-reply";

/// The most bytes of headers that an answer may have: as JSON they fit into one header.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

/// Names the ids of events (RFC 9562, UUID version 5).
const NAMESPACE: Uuid = Uuid::from_u128(0x0b1f_6a52_93c8_4c0e_8f67_2d1a_5e90_b3d4);

const SLOT: &str = "seen";

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 200;

/// The longest id as it stands in a subject.
const MAX_ENCODED_BYTES: usize = 250;

/// What a handler replied to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Headers of the answer.
    pub headers: Headers,
    /// The data.
    pub payload: Bytes,
}

/// Checks an id; the error says what is wrong with it.
pub fn check_id(id: &str) -> Result<(), String> {
    let encoded = super::state::encode_key(id).len();
    if id.len() > MAX_ID_BYTES || encoded > MAX_ENCODED_BYTES {
        return Err(format!(
            "the Nats-Msg-Id has {} bytes, and takes {encoded} in a subject: at most {MAX_ID_BYTES} and \
             {MAX_ENCODED_BYTES} are allowed, and only A-Z a-z 0-9 - _ / . take one",
            id.len()
        ));
    }
    Ok(())
}

/// What the event is called among state keys, where claims and reads know both.
pub fn slot(event: &Event) -> String {
    let name = format!("{}\n{}\n{}", event.subject, event.source, event.id);
    slot::of(SLOT, &Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string())
}

/// The UUID of the event whose [`slot`](fn@slot) this is.
pub fn of_slot(key: &str) -> Option<&str> {
    slot::id(SLOT, key)
}

/// The entry that says that an event was handled. It must be the first of its subject: whoever writes one has looked
/// before.
pub fn handled(subject: Subject, keep: Duration) -> NewEntry {
    let mut entry = NewEntry::new(subject, Bytes::new());
    entry.keep = Keep::For(keep);
    entry.expect = Some(Expect { subject: None, last: Position::NONE });
    entry
}

impl Seen {
    /// Bytes of headers and payload.
    pub fn size_bytes(&self) -> usize {
        self.headers.size_bytes() + self.payload.len()
    }

    /// Reads what was answered.
    pub fn read(entry: Entry) -> Result<Seen, EntryError> {
        let Some(text) = entry.headers.get(HEADER) else {
            return Err(EntryError::new(&entry, format!("the header `{HEADER}` is missing")));
        };
        let pairs: Vec<(String, String)> =
            serde_json::from_str(text).map_err(|error| EntryError::new(&entry, error))?;
        Ok(Seen { headers: pairs.into_iter().collect(), payload: entry.payload })
    }

    /// The entry that keeps it. It must be the first of its subject: whoever writes one has looked before.
    pub fn write(&self, subject: Subject, keep: Duration) -> NewEntry {
        let pairs: Vec<(&str, &str)> = self.headers.iter().collect();
        let mut entry = NewEntry::new(subject, self.payload.clone());
        entry.headers.push(HEADER, serde_json::to_string(&pairs).unwrap_or_default());
        entry.keep = Keep::For(keep);
        entry.expect = Some(Expect { subject: None, last: Position::NONE });
        entry
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_what_it_writes(
            pairs in prop::collection::vec(("[a-z]{1,5}", ".*"), 0..4),
            payload in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let seen = Seen { headers: pairs.into_iter().collect(), payload: payload.into() };
            let NewEntry { subject, headers, payload, keep, .. } =
                seen.write(Subject::from_checked("wx.shop.seen.basket.1"), Duration::from_secs(120));
            prop_assert_eq!(keep, Keep::For(Duration::from_secs(120)));
            prop_assert!(headers.iter().all(|(_, value)| !value.contains(['\r', '\n'])));
            let entry = Entry { position: Position(1), subject, headers, payload, time: Timestamp::UNIX_EPOCH };
            prop_assert_eq!(Seen::read(entry), Ok(seen));
        }
    }

    #[test]
    fn bounds_ids() {
        assert!(check_id(&"x".repeat(MAX_ID_BYTES)).is_ok());
        assert!(check_id(&"x".repeat(MAX_ID_BYTES + 1)).is_err());
        assert!(check_id(&"@".repeat(83)).is_ok());
        assert!(check_id(&"@".repeat(84)).is_err());
    }
}
