//! Places in a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of an entry in its log: the sequence of the JetStream stream.
///
/// The first entry has position 1. [`Position::NONE`] stands before it, and where an expectation asks
/// that a subject has no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first entry.
    pub const NONE: Position = Position(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }

    /// The position before this one; [`Position::NONE`] has none and stays.
    #[must_use]
    pub fn previous(self) -> Position {
        Position(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
