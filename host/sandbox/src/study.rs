//! Runs that are studied: time and chance are the same whenever they run, and somebody hears what they say and use.

use std::{fmt, sync::Arc, time::Duration};

use tracing::Level;

/// What guests get in place of chance, again and again.
pub(crate) const CHANCE: [u8; 16] = *b"\x57\x61\x78\x77\x69\x6e\x67\x21\x0b\x17\x29\x3d\x43\x59\x6b\x7f";

/// How a handler is studied.
#[derive(Clone)]
pub struct Study {
    /// What time it is for guests: so long after 1970-01-01T00:00:00Z. Only their monotonic clock goes on by itself.
    pub now: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Who hears of its runs.
    pub ear: Option<Arc<dyn Ear>>,
}

/// Hears of runs, on any thread; must not block.
pub trait Ear: fmt::Debug + Send + Sync {
    /// A line that a run has written, with its fields.
    fn line(&self, level: Level, message: &str, fields: &str);

    /// What a run has used, at its end.
    fn used(&self, used: Used);
}

/// What a run has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Linear memory of its instance.
    pub memory_bytes: u64,
    /// Fuel, about one for each WebAssembly instruction; none where the sandbox does not count it.
    pub fuel: Option<u64>,
}

impl fmt::Debug for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Study").field("ear", &self.ear).finish_non_exhaustive()
    }
}
