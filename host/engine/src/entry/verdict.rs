//! The verdict about a canary: `wx.<app>.verdict.<handler>`, written by the host that judges.
//!
//! It ends the canary of the decision that it names, and of no other: so it never stands against what somebody has decided
//! since. A host has the choice between the two versions which that decision names, and no right to deploy another.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Position, Subject};

use super::{EntryError, json, version::VersionNumber};
use crate::{
    canary::{Tally, Worse},
    port::log::{Entry, Keep, NewEntry},
};

/// What was found about a canary, and so what hosts run from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verdict {
    /// Where the decision stands by which the canary ran.
    pub decision: Position,
    /// The canary.
    pub version: VersionNumber,
    /// What becomes of it.
    pub sentence: Sentence,
    /// How the runs of both versions had ended.
    pub tally: Tally,
    /// The host that judged.
    pub host: String,
    /// When.
    pub at: Timestamp,
}

/// What becomes of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sentence {
    /// It runs no more: it was worse in this.
    RolledBack(Worse),
    /// It runs for all keys.
    Promoted,
}

impl Verdict {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Verdict, EntryError> {
        json::read(entry)
    }

    /// The entry that replaces the one of the canary before.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry
    }
}
