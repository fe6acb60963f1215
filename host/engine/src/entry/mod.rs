//! What the host writes to the log: one file a family of subjects, each with its form on the wire.

pub mod aggregate;
pub mod checkpoint;
pub mod dead;
pub mod deploy;
pub mod generation;
mod json;
mod kept;
pub mod layout;
pub mod lease;
pub mod mark;
pub mod member;
pub mod operator;
pub mod origin;
pub mod original;
pub mod outage;
pub mod outbox;
pub mod parked;
pub mod partitions;
pub mod seen;
pub mod shadow;
pub mod slot;
pub mod state;
pub mod tally;
pub mod timer;
pub mod tombstone;
pub mod verdict;
pub mod version;

pub use checkpoint::Checkpoint;
pub use dead::DeadLetter;
pub use layout::Layout;
pub use lease::Lease;
pub use mark::Mark;
pub use origin::Origin;
pub use original::Original;
pub use outage::Outage;
pub use outbox::{Outgoing, Places, Refusal, Relayed};
pub use parked::ParkedEvent;
pub use partitions::{Partition, Partitions};

/// Why an entry of the host's own cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry `{subject}` at position {position} cannot be read: {why}")]
pub struct EntryError {
    /// Its subject.
    pub subject: String,
    /// Its position.
    pub position: waxwing_event::Position,
    /// What is wrong with it.
    pub why: String,
}

impl EntryError {
    /// Says why this entry cannot be read.
    pub fn new(entry: &crate::port::log::Entry, why: impl ToString) -> EntryError {
        EntryError { subject: entry.subject.to_string(), position: entry.position, why: why.to_string() }
    }
}
