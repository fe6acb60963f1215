//! State: `wx.<app>.state.<handler>.<key>` holds the value of one key.
//!
//! A key is any text; in the subject, characters that a KV bucket of NATS does not take are written as `=`
//! and two hexadecimal digits a byte. A deleted key is an empty entry with the header `wx-deleted`, which
//! goes by its TTL; the header `KV-Operation` says the same to clients of a bucket that shows the state.

use std::time::Duration;

use bytes::Bytes;
use waxwing_event::{Digest, Subject};

use crate::port::log::{Entry, Keep, NewEntry};

/// Marks the entry of a deleted key.
pub const DELETED_HEADER: &str = "wx-deleted";

/// By this header, clients of a KV bucket know a deleted key.
const OPERATION_HEADER: &str = "KV-Operation";

/// Marks a value that was made of an aggregate's history, with the digest of the module that made it.
pub const SNAPSHOT_HEADER: &str = "wx-module";

/// How long the entry of a deleted key stays: far longer than any commit is under way.
pub const DELETED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The value in a state entry; none: deleted.
pub fn value(entry: Entry) -> Option<Bytes> {
    entry.headers.get(DELETED_HEADER).is_none().then_some(entry.payload)
}

/// The module that has made this value of an aggregate's history, where it is a snapshot.
pub fn snapshot_of(entry: &Entry) -> Option<Digest> {
    entry.headers.get(SNAPSHOT_HEADER)?.parse().ok()
}

/// The entry that sets a key, or deletes it; a snapshot says of which module it is.
pub fn write(subject: Subject, value: Option<Bytes>, snapshot: Option<Digest>) -> NewEntry {
    let deleted = value.is_none();
    let mut entry = NewEntry::new(subject, value.unwrap_or_default());
    entry.rollup = true;
    entry.keep = if deleted { Keep::For(DELETED_FOR) } else { Keep::Forever };
    if deleted {
        entry.headers.push(DELETED_HEADER, "1");
        entry.headers.push(OPERATION_HEADER, "DEL");
    }
    if let Some(module) = snapshot {
        entry.headers.push(SNAPSHOT_HEADER, module.to_string());
    }
    entry
}

/// A key as the end of a subject.
pub fn encode_key(key: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(key.len());
    for (byte, is_plain) in spelled(key) {
        if is_plain {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "={byte:02X}");
        }
    }
    text
}

/// The bytes of [`encode_key`]'s text, without making it.
pub fn encoded_bytes(key: &str) -> usize {
    spelled(key).map(|(_, is_plain)| if is_plain { 1 } else { 3 }).sum()
}

/// The bytes of a key, and whether each stands in a subject as it is. Dots part tokens, which must not be empty.
fn spelled(key: &str) -> impl Iterator<Item = (u8, bool)> {
    let last = key.len().saturating_sub(1);
    let mut previous = b'.';
    key.bytes().enumerate().map(move |(i, byte)| {
        let is_plain = match byte {
            b'.' => previous != b'.' && i != last,
            _ => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/'),
        };
        previous = byte;
        (byte, is_plain)
    })
}

/// The key that [`encode_key`] made this text of; none where it was not made so: each key stands in one place.
pub fn decode_key(text: &str) -> Option<String> {
    decode(text).filter(|key| encode_key(key) == text)
}

/// The text that was written with `=XX` for some of its bytes.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'=' => digit(rest.next()?)? * 16 + digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_ordinary_keys_as_they_are() {
        for key in ["basket/42", "a.b-c_d", "X9"] {
            assert_eq!(encode_key(key), key);
        }
        assert_eq!(encode_key("a@b.c"), "a=40b.c");
        assert_eq!(encode_key("a..b."), "a.=2Eb=2E");
    }

    #[test]
    fn a_key_stands_in_one_place() {
        assert_eq!(decode_key("a=40b").as_deref(), Some("a@b"));
        for text in ["a@b", "=61", "a=4", "a=zz", "a=c3=bc", "a.", "=FF"] {
            assert_eq!(decode_key(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_key_becomes_a_good_subject_and_comes_back(key in ".{1,40}") {
            let encoded = encode_key(&key);
            prop_assert_eq!(encoded_bytes(&key), encoded.len());
            prop_assume!(encoded.len() < 250);
            prop_assert!(format!("s.{encoded}").parse::<Subject>().is_ok(), "{}", encoded);
            prop_assert_eq!(decode_key(&encoded), Some(key));
        }
    }
}
