//! What a shadow does otherwise: `wx.<app>.shadow.<handler>.<partition>`, saved now and then by the partition's owner.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Position, Subject};

use super::{EntryError, json, version::VersionNumber};
use crate::{
    port::log::{Entry, Keep, NewEntry},
    shadow::{Compared, Otherwise},
};

/// So many differing runs of a partition are told in full: the first ones.
pub const MAX_TOLD: usize = 20;

/// What a shadow has done beside the live version, in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shadowed {
    /// Where the decision stands by which it runs.
    pub decision: Position,
    /// The version that runs as a shadow.
    pub version: VersionNumber,
    /// When it began here.
    pub since: Timestamp,
    /// How many runs were compared, and in what they differ.
    pub compared: Compared,
    /// The first runs that differ.
    pub first: Vec<Differing>,
}

/// A run that the shadow ended otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Differing {
    /// The input; none for a request, a live message or the event of a timer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Position>,
    /// The event.
    pub event_id: String,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// In what it differs.
    pub otherwise: Vec<Otherwise>,
}

impl Shadowed {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Shadowed, EntryError> {
        json::read(entry)
    }

    /// The entry that replaces the one before.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry
    }
}
