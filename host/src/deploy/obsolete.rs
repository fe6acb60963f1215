//! Versions that nobody needs any more.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_engine::entry::{
    deploy::Deployment,
    version::{Version, VersionNumber},
};
use waxwing_event::{Digest, HandlerName};

/// What must stay, whatever its age.
#[derive(Debug, Default)]
pub struct Needed {
    /// The decisions about handlers: what they name, and what they would go back to.
    pub deployments: BTreeMap<HandlerName, Deployment>,
    /// Modules that dead letters and generations name.
    pub modules: BTreeSet<Digest>,
    /// Versions on which something failed that waits for another attempt, or is a dead letter.
    pub versions: BTreeSet<(HandlerName, VersionNumber)>,
}

impl Needed {
    fn needs(&self, handler: &HandlerName, version: &Version) -> bool {
        let deployment = self.deployments.get(handler);
        let is_decided = deployment.is_some_and(|decided| {
            let beside = decided.beside.as_ref().map(|beside| beside.version);
            [decided.version, decided.before, beside].contains(&Some(version.number))
        });
        is_decided
            || self.modules.contains(&version.module)
            || self.versions.contains(&(handler.clone(), version.number))
    }
}

/// The versions that may go: of each handler the newest `keep` stay, and all that is needed. The versions are in order.
pub fn obsolete(
    versions: &[(HandlerName, Version)],
    keep: usize,
    needed: &Needed,
) -> Vec<(HandlerName, Version)> {
    let mut newer: BTreeMap<&HandlerName, usize> = BTreeMap::new();
    let mut gone = Vec::new();
    for (handler, version) in versions.iter().rev() {
        let count = newer.entry(handler).or_default();
        *count += 1;
        if *count > keep && !needed.needs(handler, version) {
            gone.push((handler.clone(), version.clone()));
        }
    }
    gone.reverse();
    gone
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use waxwing_engine::entry::deploy::{Beside, Reason, Tried};

    use super::*;

    fn version(number: u32) -> (HandlerName, Version) {
        let version = Version {
            number: VersionNumber(number),
            module: Digest([u8::try_from(number).unwrap(); 32]),
            bytes: 1,
            imports: BTreeSet::new(),
            manifest: json!({}),
            from: String::new(),
            by: String::new(),
            at: Timestamp::UNIX_EPOCH,
            signatures: Vec::new(),
        };
        ("basket".parse().unwrap(), version)
    }

    #[test]
    fn what_is_named_stays_whatever_its_age() {
        let versions: Vec<_> = (1..=9).map(version).collect();
        let handler: HandlerName = "basket".parse().unwrap();
        let deployment = Deployment {
            version: Some(VersionNumber(3)),
            before: Some(VersionNumber(2)),
            beside: Some(Beside { version: VersionNumber(6), tried: Tried::Shadow }),
            highest: VersionNumber(9),
            reason: Reason::RolledBack,
            by: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        let needed = Needed {
            deployments: [(handler.clone(), deployment)].into(),
            modules: [Digest([4; 32])].into(),
            versions: [(handler, VersionNumber(5))].into(),
        };
        let numbers = |keep, needed: &Needed| {
            let gone = obsolete(&versions, keep, needed);
            gone.iter().map(|(_, version)| version.number.0).collect::<Vec<_>>()
        };
        assert_eq!(numbers(2, &needed), [1, 7]);
        assert_eq!(numbers(9, &Needed::default()), [0_u32; 0]);
        assert_eq!(numbers(8, &Needed::default()), [1]);
        assert_eq!(numbers(0, &needed), [1, 7, 8, 9]);
    }
}
