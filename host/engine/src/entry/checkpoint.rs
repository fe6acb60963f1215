//! The checkpoint: `wx.<app>.checkpoint.<handler>.<partition>` says where a partition stands. It is saved
//! now and then; the marks of later entries tell the rest.

use serde::{Deserialize, Serialize};
use waxwing_event::{Position, Subject};

use super::{EntryError, Origin, json, partitions::Former};
use crate::port::log::{Entry, Keep, NewEntry};

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// Every input up to here is handled.
    pub watermark: Position,
    /// Inputs above the watermark that are handled too.
    pub handled: Vec<Position>,
    /// Marks that are not counted here stand above this position of the app's log.
    pub marks_after: Position,
    /// The stream whose positions the inputs are; none: the app's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was handled before the handler's inputs were divided as they are now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Former>,
}

impl Checkpoint {
    /// Reads a checkpoint entry.
    pub fn read(entry: &Entry) -> Result<Checkpoint, EntryError> {
        json::read(entry)
    }

    /// The last position of which it tells. It lies before the entry that saves it.
    pub fn reaches(&self) -> Position {
        let handled = self.handled.iter().copied().max().unwrap_or_default();
        let former = self.former.iter().map(Former::reaches).max().unwrap_or_default();
        self.watermark.max(self.marks_after).max(handled).max(former)
    }

    /// The entry that saves it.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry
    }
}
