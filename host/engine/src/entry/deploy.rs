//! What is to run: `wx.<app>.deploy.<handler>` names the version of a handler that hosts run. It is replaced by whoever
//! deploys or rolls back, expecting that nobody has meanwhile.
//!
//! What became of it stands beside: `wx.<app>.swap.<handler>.<partition>` tells from which input on a version ran,
//! `wx.<app>.declined.<handler>.<host>` that a host cannot run it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Digest, Position, Subject};

use super::{EntryError, json, version::VersionNumber};
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// Which version of a handler is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// The version; none: the handler was taken out, and hosts run what their manifest says.
    pub version: Option<VersionNumber>,
    /// The one before: a host that cannot run the version goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<VersionNumber>,
    /// The highest number that a version was ever given.
    pub highest: VersionNumber,
    /// Why it was changed last.
    pub reason: Reason,
    /// By whom, for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Why a deployment was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A version was deployed.
    Deployed,
    /// Somebody went back to another.
    RolledBack,
    /// A host could not run the version.
    Declined {
        /// That version.
        version: VersionNumber,
        /// What stands in its way.
        why: String,
    },
    /// A rebuild has switched to what this version has built.
    Rebuilt,
    /// The handler was taken out.
    Removed,
}

impl Deployment {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Deployment, EntryError> {
        json::read(entry)
    }

    /// The entry that replaces the one at `last`.
    pub fn write(&self, subject: Subject, last: Position) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry.expect = Some(Expect { subject: None, last });
        entry
    }
}

/// From which input on a version ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Swap {
    /// The version that began to run; none: a module that was not deployed, after one that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// Its module.
    pub module: Digest,
    /// The host.
    pub host: String,
    /// Inputs up to here were handled before, by another version.
    pub after: Position,
    /// Inputs above that were begun before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Position>,
    /// When.
    pub at: Timestamp,
}

impl Swap {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Swap, EntryError> {
        json::read(entry)
    }

    /// The entry. Earlier ones stay: together they tell which version an input ran on.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.keep = Keep::Forever;
        entry
    }
}

/// That a host cannot run a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Declined {
    /// The host.
    pub host: String,
    /// The version.
    pub version: VersionNumber,
    /// What stands in its way.
    pub why: String,
    /// The version that it runs instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<VersionNumber>,
    /// When.
    pub at: Timestamp,
}

impl Declined {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Declined, EntryError> {
        json::read(entry)
    }

    /// The entry that replaces what the host said before.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waxwing_event::Headers;

    use super::*;

    fn stored(entry: NewEntry) -> Entry {
        let NewEntry { subject, payload, .. } = entry;
        Entry {
            position: Position(1),
            subject,
            headers: Headers::new(),
            payload,
            time: Timestamp::UNIX_EPOCH,
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            version: Option<u32>, highest: u32, why in ".*", after: u64, begun in prop::collection::vec(any::<u64>(), 0..4),
        ) {
            let subject = Subject::from_checked("wx.shop.deploy.basket");
            let number = VersionNumber(highest);
            let at = Timestamp::UNIX_EPOCH;
            let deployment = Deployment {
                version: version.map(VersionNumber),
                before: None,
                highest: number,
                reason: Reason::Declined { version: number, why: why.clone() },
                by: why.clone(),
                at,
            };
            let entry = stored(deployment.write(subject.clone(), Position(2)));
            prop_assert_eq!(Deployment::read(&entry), Ok(deployment));
            let swap = Swap {
                version: version.map(VersionNumber),
                module: Digest([1; 32]),
                host: "a".to_owned(),
                after: Position(after),
                begun: begun.into_iter().map(Position).collect(),
                at,
            };
            prop_assert_eq!(Swap::read(&stored(swap.write(subject.clone()))), Ok(swap));
            let declined = Declined { host: "a".to_owned(), version: number, why, instead: None, at };
            prop_assert_eq!(Declined::read(&stored(declined.write(subject))), Ok(declined));
        }
    }
}
