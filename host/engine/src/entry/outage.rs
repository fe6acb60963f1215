//! The outage: `wx.<app>.outage.<handler>.<partition>` stands while a handler is taken for down.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::Subject;

use super::{EntryError, json};
use crate::port::log::{Entry, Keep, NewEntry};

/// A handler that is taken for down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// Since when.
    pub since: Timestamp,
    /// How the last of the events failed that showed it, for people.
    pub reason: String,
}

impl Outage {
    /// Reads the entry.
    pub fn read(entry: &Entry) -> Result<Outage, EntryError> {
        json::read(entry)
    }

    /// The entry that tells of it.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry
    }
}
