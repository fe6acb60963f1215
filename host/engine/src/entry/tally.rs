//! The tally of a canary: `wx.<app>.tally.<handler>.<partition>`, saved now and then by the partition's owner, so that a
//! change of hosts loses none of it but the last second's.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Position, Subject};

use super::{EntryError, json};
use crate::{
    canary::Tally,
    port::log::{Entry, Keep, NewEntry},
};

/// How runs of both versions have ended in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tallied {
    /// Where the decision stands by which the canary runs.
    pub decision: Position,
    /// When it began here.
    pub since: Timestamp,
    /// The counts since then.
    pub tally: Tally,
}

impl Tallied {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Tallied, EntryError> {
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
