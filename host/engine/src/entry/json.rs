//! Entries whose payload is JSON.

use serde::{Serialize, de::DeserializeOwned};
use waxwing_event::Subject;

use super::EntryError;
use crate::port::log::{Entry, NewEntry};

/// Reads the payload.
pub(super) fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T, EntryError> {
    serde_json::from_slice(&entry.payload).map_err(|error| EntryError::new(entry, error))
}

/// An entry that says this. Structs with plain fields always have a JSON form.
pub(super) fn write(subject: Subject, what: &impl Serialize) -> NewEntry {
    NewEntry::new(subject, serde_json::to_vec(what).unwrap_or_default())
}
