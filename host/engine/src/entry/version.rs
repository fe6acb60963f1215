//! The versions of a handler that were deployed: `wx.<app>.version.<handler>.<number>`, one entry each, never changed.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waxwing_event::{Digest, Position, Subject};

use super::{EntryError, json};
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// Which version of a handler, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionNumber(pub u32);

impl VersionNumber {
    /// The one behind this one.
    pub fn next(self) -> VersionNumber {
        VersionNumber(self.0.saturating_add(1))
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VersionNumber {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<VersionNumber, Self::Err> {
        text.parse().map(VersionNumber)
    }
}

/// A version of a handler: what was deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// Which.
    pub number: VersionNumber,
    /// Its module.
    pub module: Digest,
    /// How large that is.
    pub bytes: u64,
    /// What it asks of its host.
    #[serde(default)]
    pub imports: BTreeSet<String>,
    /// What the manifest said of the handler, without the module: its table as JSON.
    pub manifest: Value,
    /// Where the module came from, for people.
    pub from: String,
    /// Who deployed it, for people.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Who vouches for it. Hosts judge these; nothing here does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

/// A signature over a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    /// The public key that is said to have signed it.
    pub key: String,
    /// The signature's bytes as base64.
    pub signature: String,
}

impl Version {
    /// Reads an entry.
    pub fn read(entry: &Entry) -> Result<Version, EntryError> {
        json::read(entry)
    }

    /// The entry of a version that there was not yet.
    pub fn write(&self, subject: Subject) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.keep = Keep::Forever;
        entry.expect = Some(Expect { subject: None, last: Position::NONE });
        entry
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use waxwing_event::Headers;

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let version = Version {
            number: VersionNumber(3),
            module: Digest([7; 32]),
            bytes: 5,
            imports: ["emit".to_owned()].into(),
            manifest: json!({ "on": ["a.>"], "grants": { "settings": { "n": 1 } } }),
            from: "handlers/basket".to_owned(),
            by: "ada@example".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            signatures: vec![Signature { key: "UA".to_owned(), signature: "c2lnbmVk".to_owned() }],
        };
        let subject = Subject::from_checked("wx.shop.version.basket.3");
        let NewEntry { payload, .. } = version.write(subject.clone());
        let mut entry = Entry {
            position: Position(1),
            subject,
            headers: Headers::new(),
            payload,
            time: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(Version::read(&entry), Ok(version));
        entry.payload = b"{}".as_slice().into();
        assert!(Version::read(&entry).unwrap_err().to_string().contains("version.basket.3"));
    }
}
