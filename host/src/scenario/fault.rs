//! What may happen to a host, or to what it reads, without any difference in what comes of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of faults that a scenario can be spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Events come twice, under the same id; where their handlers have `dedupe`.
    Duplicate,
    /// Events of different keys run in another order.
    Reorder,
    /// The host stops in good order after each step and each event, and another begins.
    Restart,
    /// Each run is in an instance of its own.
    Fresh,
    /// The host is gone at a commit, and another goes on from the log.
    Crash,
}

impl Kind {
    /// All of them.
    pub fn all() -> Vec<Kind> {
        vec![Kind::Duplicate, Kind::Reorder, Kind::Restart, Kind::Fresh, Kind::Crash]
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// See [`Kind::Duplicate`].
    Duplicate,
    /// Of the runs that can go on together, the last goes first.
    LastFirst,
    /// Of the runs that can go on together, any goes first.
    AnyFirst(u64),
    /// See [`Kind::Restart`].
    Restart,
    /// See [`Kind::Fresh`].
    Fresh,
    /// See [`Kind::Crash`].
    Crash(Cut),
}

/// At which commit a host is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Which of all commits, from 1.
    pub commit: u64,
    /// What becomes of that one.
    pub fate: Fate,
}

/// What becomes of the last commit of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is never written.
    Lost,
    /// It is written, but nobody hears of it.
    Unheard,
    /// It arrives when another host has long gone on: what an old owner writes that wakes up too late.
    Late,
}

impl Fault {
    /// All faults of these kinds, for a scenario that ends with so many commits.
    pub fn all(kinds: &[Kind], commits: u64) -> Vec<Fault> {
        let mut all = Vec::new();
        for kind in kinds {
            match kind {
                Kind::Duplicate => all.push(Fault::Duplicate),
                Kind::Reorder => all.extend([Fault::LastFirst, Fault::AnyFirst(1), Fault::AnyFirst(2)]),
                Kind::Restart => all.push(Fault::Restart),
                Kind::Fresh => all.push(Fault::Fresh),
                Kind::Crash => all.extend((1..=commits).flat_map(|commit| {
                    [Fate::Lost, Fate::Unheard, Fate::Late].map(|fate| Fault::Crash(Cut { commit, fate }))
                })),
            }
        }
        all
    }

    /// Its kind.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Fault::None => None,
            Fault::Duplicate => Some(Kind::Duplicate),
            Fault::LastFirst | Fault::AnyFirst(_) => Some(Kind::Reorder),
            Fault::Restart => Some(Kind::Restart),
            Fault::Fresh => Some(Kind::Fresh),
            Fault::Crash(_) => Some(Kind::Crash),
        }
    }

    /// Where the host is gone.
    pub fn cut(self) -> Option<Cut> {
        match self {
            Fault::Crash(cut) => Some(cut),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::None => f.write_str("no fault"),
            Fault::Duplicate => f.write_str("each event published twice"),
            Fault::LastFirst => f.write_str("of several runs the last one first"),
            Fault::AnyFirst(seed) => write!(f, "several runs in another order ({seed})"),
            Fault::Restart => f.write_str("a restart of the host after each event"),
            Fault::Fresh => f.write_str("an instance of its own for each run"),
            Fault::Crash(Cut { commit, fate }) => match fate {
                Fate::Lost => write!(f, "a crash of the host before commit {commit}"),
                Fate::Unheard => write!(f, "a crash of the host after commit {commit}"),
                Fate::Late => write!(f, "a crash of the host at commit {commit}, which arrives late"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_is_lost_unheard_and_late() {
        let all = Fault::all(&[Kind::Crash], 2);
        assert_eq!(all.len(), 6);
        assert_eq!(all[4], Fault::Crash(Cut { commit: 2, fate: Fate::Unheard }));
        assert!(Fault::all(&Kind::all(), 0).iter().all(|fault| fault.kind().is_some()));
    }
}
