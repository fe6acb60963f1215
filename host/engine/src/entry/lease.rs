//! The lease: `wx.<app>.lease.<handler>.<partition>` names the host that owns a partition.
//!
//! The entry's position is the fence: every commit of the partition expects it to be the last of its
//! subject. It stays for ever. That its host lives is told by `wx.<app>.host.<host>`, an entry with a TTL
//! that the host writes anew; so a renewal does not change the fence under commits in flight.

use serde::{Deserialize, Serialize};
use waxwing_event::Subject;

use super::{EntryError, json};
use crate::port::log::{Entry, Expect, Keep, NewEntry};

/// Who owns a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The owner's host id; none: given up in good order.
    pub host: Option<String>,
}

impl Lease {
    /// Reads a lease entry.
    pub fn read(entry: &Entry) -> Result<Lease, EntryError> {
        json::read(entry)
    }

    /// The entry that takes or gives up the lease, if nobody did since `expect`.
    pub fn write(&self, subject: Subject, expect: Expect) -> NewEntry {
        let mut entry = json::write(subject, self);
        entry.rollup = true;
        entry.keep = Keep::Forever;
        entry.expect = Some(expect);
        entry
    }
}
