//! That a host lives: `wx.<app>.host.<host>`, which goes by its TTL, and what the host tells of itself.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{HandlerName, Label, Subject};

use super::json;
use crate::port::log::{Entry, Keep, NewEntry};

/// What a host tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// When it told.
    pub at: Timestamp,
    /// The version of its program.
    #[serde(default)]
    pub version: String,
    /// The handlers that it can run.
    #[serde(default)]
    pub handlers: BTreeSet<HandlerName>,
    /// What is special about it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<Label>,
    /// True where it takes up only what no other host can run.
    #[serde(default)]
    pub standby: bool,
    /// True where it is about to stop: it takes up nothing more.
    #[serde(default)]
    pub leaving: bool,
}

impl Member {
    /// What an entry says; none where it tells only that the host lives: nothing is handed over to such a host.
    pub fn read(entry: &Entry) -> Option<Member> {
        json::read(entry).ok()
    }

    /// The entry, which goes when this time is over.
    pub fn write(&self, subject: Subject, lives_for: std::time::Duration) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::For(lives_for);
        entry
    }
}

#[cfg(test)]
mod tests {
    use waxwing_event::{Headers, Position};

    use super::*;

    #[test]
    fn reads_what_it_writes_and_that_alone() {
        let member = Member {
            at: Timestamp::UNIX_EPOCH,
            version: "0.1.0".to_owned(),
            handlers: ["basket".parse().unwrap()].into(),
            labels: ["eu".parse().unwrap()].into(),
            standby: true,
            leaving: true,
        };
        let subject = Subject::from_checked("wx.shop.host.a");
        let NewEntry { payload, .. } = member.write(subject.clone(), std::time::Duration::from_secs(5));
        let (position, headers, time) = (Position(1), Headers::new(), Timestamp::UNIX_EPOCH);
        let mut entry = Entry { position, subject, headers, payload, time };
        assert_eq!(Member::read(&entry), Some(member));
        entry.payload = b"1970-01-01T00:00:00Z".as_slice().into();
        assert_eq!(Member::read(&entry), None);
    }
}
