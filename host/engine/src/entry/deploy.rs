//! What is to run: `wx.<app>.deploy.<handler>` names the version of a handler that hosts run. It is replaced by whoever
//! deploys or rolls back, expecting that nobody has meanwhile.
//!
//! What became of it stands beside: `wx.<app>.swap.<handler>.<partition>` tells from which input on a version ran,
//! `wx.<app>.declined.<handler>.<host>` that a host cannot run it. A verdict may end what is tried beside it
//! ([`super::verdict`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{Digest, Position, Subject};

use super::{
    EntryError, json,
    verdict::{Sentence, Verdict},
    version::VersionNumber,
};
use crate::{
    canary::{Percent, Rules},
    port::log::{Entry, Expect, Keep, NewEntry},
};

/// Which version of a handler is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// The version; none: the handler was taken out, and hosts run what their manifest says.
    pub version: Option<VersionNumber>,
    /// The one before: a host that cannot run the version goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<VersionNumber>,
    /// A version that is tried beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// The highest number that a version was ever given.
    pub highest: VersionNumber,
    /// Why it was changed last.
    pub reason: Reason,
    /// By whom, for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A version that is tried beside the one that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Beside {
    /// The version.
    pub version: VersionNumber,
    /// As what.
    pub tried: Tried,
}

/// As what a version is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Tried {
    /// It runs for a share of the keys, and is judged.
    Canary {
        /// Its share.
        share: Percent,
        /// When it counts as worse.
        rules: Rules,
    },
    /// It runs on what the other version runs on, and has no effects.
    Shadow,
}

impl Beside {
    /// The share of keys that it has.
    pub fn share(&self) -> Percent {
        match self.tried {
            Tried::Canary { share, .. } => share,
            Tried::Shadow => Percent::NONE,
        }
    }
}

/// Why a deployment was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A version was deployed.
    Deployed,
    /// Somebody went back to another, or ended what was tried beside it.
    RolledBack,
    /// What was tried beside the version before runs alone from here on.
    Promoted,
    /// What was tried beside the version was worse.
    Worse {
        /// That version.
        version: VersionNumber,
    },
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

    /// What holds after a verdict about its canary.
    #[must_use]
    pub fn after(self, verdict: &Verdict) -> Deployment {
        let Verdict { version, sentence, host, at, .. } = verdict;
        let (by, at, highest) = (host.clone(), *at, self.highest);
        match sentence {
            Sentence::Promoted => Deployment {
                version: Some(*version),
                before: self.version,
                beside: None,
                highest,
                reason: Reason::Promoted,
                by,
                at,
            },
            Sentence::RolledBack(_) => {
                Deployment { beside: None, reason: Reason::Worse { version: *version }, by, at, ..self }
            }
        }
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

/// From which input on a version ran, and beside it a canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Swap {
    /// The version that began to run; none: a module that was not deployed, after one that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// Its module.
    pub module: Digest,
    /// The canary that runs for a share of the keys from there on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<OnCanary>,
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

/// A canary that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnCanary {
    /// Its version.
    pub version: VersionNumber,
    /// Its share of the keys.
    pub share: Percent,
}

impl Swap {
    /// What runs from there on.
    pub fn runs(&self) -> Running {
        Running { version: self.version, canary: self.canary }
    }

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

/// What runs in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Running {
    /// The version; none: a module that was not deployed.
    pub version: Option<VersionNumber>,
    /// The canary beside it.
    pub canary: Option<OnCanary>,
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
    use crate::canary::{Tally, Worse};

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

    fn canary(number: u32) -> Tried {
        let share = Percent::of_hundred(number % 101);
        Tried::Canary {
            share,
            rules: Rules { margin: share, min_runs: number.into(), window_ms: 1, auto_promote: number > 9 },
        }
    }

    #[test]
    fn a_verdict_chooses_between_the_two_versions_of_its_decision() {
        let at = Timestamp::UNIX_EPOCH;
        let [stable, other] = [1, 2].map(VersionNumber);
        let deployment = Deployment {
            version: Some(stable),
            before: None,
            beside: Some(Beside { version: other, tried: canary(5) }),
            highest: other,
            reason: Reason::Deployed,
            by: "ada".to_owned(),
            at,
        };
        let verdict = |sentence| Verdict {
            decision: Position(1),
            version: other,
            sentence,
            tally: Tally::default(),
            host: "host-1".to_owned(),
            at,
        };
        let back = deployment.clone().after(&verdict(Sentence::RolledBack(Worse::Failures)));
        assert_eq!((back.version, back.before, back.beside), (Some(stable), None, None));
        assert_eq!((back.reason, back.by.as_str()), (Reason::Worse { version: other }, "host-1"));
        let on = deployment.after(&verdict(Sentence::Promoted));
        assert_eq!((on.version, on.before, on.beside), (Some(other), Some(stable), None));
        assert_eq!(on.highest, other);
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(
            version: Option<u32>, beside: Option<u32>, highest: u32, why in ".*", after: u64, begun in prop::collection::vec(any::<u64>(), 0..4),
        ) {
            let subject = Subject::from_checked("wx.shop.deploy.basket");
            let number = VersionNumber(highest);
            let at = Timestamp::UNIX_EPOCH;
            let deployment = Deployment {
                version: version.map(VersionNumber),
                before: None,
                beside: beside.map(|number| Beside {
                    version: VersionNumber(number),
                    tried: if number % 2 == 0 { Tried::Shadow } else { canary(number) },
                }),
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
                canary: beside.map(|number| OnCanary {
                    version: VersionNumber(number),
                    share: Percent::of_hundred(number % 101),
                }),
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
