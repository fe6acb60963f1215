//! How a run ended.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Effects;

/// The end of a run. Only [`Outcome::Done`] has effects.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The handler returned without an error.
    Done(Effects),
    /// It did not; nothing of the run is kept.
    Failed(Failure),
}

/// What a run failed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The handler asks for another attempt.
    Retry,
    /// The handler refuses the event for good.
    Reject,
    /// The module trapped or panicked.
    Trap,
    /// The module ended its process.
    Exit,
    /// It ran longer than its deadline.
    Deadline,
    /// It asked for more memory than it may have.
    Memory,
    /// Its calls nested deeper than its stack.
    Stack,
    /// More effects, or more bytes of effects, than a run may have.
    Effects,
    /// The event could not be decoded, or has no key.
    Decode,
    /// It should have waited behind another of its key, but as many events are parked as may be.
    Parked,
    /// Something that the host needs was not there, such as the log.
    Unavailable,
}

impl FailureKind {
    /// The kind as one word, as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Retry => "retry",
            FailureKind::Reject => "reject",
            FailureKind::Trap => "trap",
            FailureKind::Exit => "exit",
            FailureKind::Deadline => "deadline",
            FailureKind::Memory => "memory",
            FailureKind::Stack => "stack",
            FailureKind::Effects => "effects",
            FailureKind::Decode => "decode",
            FailureKind::Parked => "parked",
            FailureKind::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a run has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct Failure {
    /// The sort of failure.
    pub kind: FailureKind,
    /// For people: what happened, with file and line where they are known.
    pub reason: String,
    /// The delay that the handler asked for, with [`FailureKind::Retry`].
    pub after: Option<Duration>,
    /// Functions on the guest's stack at a trap, innermost first, one a line.
    pub backtrace: Option<String>,
}

impl Failure {
    /// A failure of this kind, without delay or backtrace.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Failure {
        Failure { kind, reason: reason.into(), after: None, backtrace: None }
    }
}
