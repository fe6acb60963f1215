//! What was answered: `wx.<app>.seen.<handler>.<id>` keeps the answer to the request of this `Nats-Msg-Id`.
//!
//! It is written in the commit of the request's effects, so it tells that they are there, too. The payload is
//! the answer's own; the header `wx-reply` holds the answer's headers as JSON. It goes by its TTL: until then a
//! second request of the same id gets the same answer.

use std::time::Duration;

use bytes::Bytes;
use waxwing_event::{Headers, Position, Subject};

use super::EntryError;
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// The header that holds the answer's headers.
pub const HEADER: &str = "wx-reply";

/// The most bytes of headers that an answer may have: as JSON they fit into one header.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

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
