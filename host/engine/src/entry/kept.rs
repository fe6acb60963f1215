//! How an entry keeps an event that waits or that nobody could handle: its payload, and one header with the rest.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use waxwing_event::{Headers, Subject};

use super::EntryError;
use crate::port::log::{Entry, Keep, NewEntry};

/// Reads what the header tells.
pub(super) fn read<T: DeserializeOwned>(entry: &Entry, header: &str) -> Result<T, EntryError> {
    match entry.headers.get(header) {
        Some(text) => serde_json::from_str(text).map_err(|e| EntryError::new(entry, e)),
        None => Err(EntryError::new(entry, format!("the header `{header}` is missing"))),
    }
}

/// An entry of at most `max_bytes`, in place of what stood there before; where payload and header together
/// would be more, the payload is left out. `about` gives the header's value and hears whether that is so.
pub(super) fn write(
    subject: Subject,
    header: &'static str,
    payload: Bytes,
    max_bytes: usize,
    mut about: impl FnMut(bool) -> String,
) -> NewEntry {
    let headers = |text: String| -> Headers { [(header, text)].into_iter().collect() };
    let mut entry = NewEntry::new(subject, payload);
    entry.headers = headers(about(false));
    if entry.headers.size_bytes() + entry.payload.len() > max_bytes {
        entry.payload = Bytes::new();
        entry.headers = headers(about(true));
    }
    entry.rollup = true;
    entry.keep = Keep::Forever;
    entry
}
