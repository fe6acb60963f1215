//! Figures: what the sandbox shows of itself, for whoever measures.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Instances that live now.
    pub instances: u64,
    /// Their memories.
    pub memories: u64,
    /// Bytes of memory that are kept for the next instances.
    pub idle_bytes: u64,
    /// Modules that were loaded since it began: compiled, or read from the folder of compiled code.
    pub loads: u64,
    /// How long that took, all of them together.
    pub loading: Duration,
}

/// How many modules were loaded, and how long it took.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Loads {
    /// One more, which began at that time.
    pub(crate) fn ended(&self, begun: Instant) {
        self.count.fetch_add(1, Relaxed);
        self.nanos.fetch_add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn read(&self) -> (u64, Duration) {
        (self.count.load(Relaxed), Duration::from_nanos(self.nanos.load(Relaxed)))
    }
}
