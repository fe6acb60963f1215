//! Gauges: how full everything is that is bounded, and how much has come to pass, for whoever measures.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::entry::Partitions;

/// What a partition shows of itself. Written by the partition alone; read by anybody at any time.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Events under way: started and not yet handled. Bounded by `concurrency`.
    pub under_way: AtomicU64,
    /// Inputs between the watermark and the end of what was read. Bounded by twice `concurrency`.
    pub window: AtomicU64,
    /// Bytes of the events in the window. Bounded by `limits.in-flight-bytes`, but for one event.
    pub window_bytes: AtomicU64,
    /// Keys with an event under way or parked.
    pub lanes: AtomicU64,
    /// Parked events. Bounded by `limits.parked`.
    pub parked: AtomicU64,
    /// Keys of parked events and of dead letters that hold theirs.
    pub parked_keys: AtomicU64,
    /// Timers whose events are not handled. Bounded by `limits.timers`.
    pub timers: AtomicU64,
    /// Timers that have fired.
    pub timers_fired: AtomicU64,
    /// Timers that had fired and were cancelled, or set anew, before their run had committed.
    pub timers_too_late: AtomicU64,
    /// Requests that wait for their run. Bounded by `limits.waiting`.
    pub requests_waiting: AtomicU64,
    /// Live messages that wait for their run. Bounded by `limits.waiting`.
    pub live_waiting: AtomicU64,
    /// 1 while the handler is in outage.
    pub outage: AtomicU64,
    /// 1 while an operator has paused the handler.
    pub paused: AtomicU64,
    /// Inputs that were handled since the host began, as [`crate::port::Observe`] hears of them.
    pub handled: AtomicU64,
    /// Runs whose commit was refused because another partition had written what they had read; they ran again.
    pub conflicts: AtomicU64,
    /// 1 while the partition is served here; what it shows beside is old where it is not.
    pub serving: AtomicU64,
    /// When the oldest input was stored that was read and is not handled, in milliseconds of Unix time; 0: there is none.
    pub oldest_ms: AtomicU64,
    /// Every input up to this position is handled.
    pub watermark: AtomicU64,
    /// Emitted events that were left out, of a generation that is not live or of what another has handled.
    pub withheld_events: AtomicU64,
    /// Timers that were left out in this way.
    pub withheld_timers: AtomicU64,
    /// Events that had been handled at another position. The handler's `dedupe` tells them.
    pub duplicates: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Events that were parked, each time they were.
    pub parkings: AtomicU64,
    /// Dead letters written.
    pub dead: AtomicU64,
    /// Dead letters written because there was no room to park an event.
    pub refused: AtomicU64,
    /// Requests and live messages that came to their end, as [`crate::port::Observe`] hears of them.
    pub visited: AtomicU64,
    /// Requests that were refused because too many waited.
    pub turned_away: AtomicU64,
    /// Live messages that were not handled.
    pub shed: AtomicU64,
    /// Events read from the outbox that are not out. Bounded by twice `outbox.in-flight`.
    pub outbox: AtomicU64,
    /// For how long the oldest of them has waited, in milliseconds, as of the last checkpoint.
    pub outbox_behind_ms: AtomicU64,
    /// Events that went out.
    pub outbox_out: AtomicU64,
    /// Events that were set aside because they are refused outside.
    pub outbox_set_aside: AtomicU64,
}

impl Gauges {
    /// Shows that the partition is served here, until the guard goes.
    pub(crate) fn serve(&self) -> ServingGauge<'_> {
        self.serving.store(1, Relaxed);
        ServingGauge(&self.serving)
    }

    /// Sets a gauge to a size.
    pub(crate) fn set(gauge: &AtomicU64, size: usize) {
        gauge.store(size as u64, Relaxed);
    }

    /// Counts one more.
    pub(crate) fn count(gauge: &AtomicU64) {
        gauge.fetch_add(1, Relaxed);
    }

    /// Counts so many more.
    pub(crate) fn add(gauge: &AtomicU64, count: usize) {
        gauge.fetch_add(count as u64, Relaxed);
    }

    /// What a gauge shows.
    pub fn read(gauge: &AtomicU64) -> u64 {
        gauge.load(Relaxed)
    }
}

/// A partition that shows that it is served.
pub(crate) struct ServingGauge<'g>(&'g AtomicU64);

impl Drop for ServingGauge<'_> {
    fn drop(&mut self) {
        self.0.store(0, Relaxed);
    }
}

/// What the partitions of a handler show of themselves on one host. Clones are the same.
#[derive(Debug, Clone)]
pub struct HandlerGauges {
    first: Arc<Gauges>,
    /// By their numbers; the first is always there.
    all: Arc<Mutex<Vec<Arc<Gauges>>>>,
}

impl Default for HandlerGauges {
    fn default() -> HandlerGauges {
        let first = Arc::<Gauges>::default();
        HandlerGauges { all: Arc::new(Mutex::new(vec![first.clone()])), first }
    }
}

impl HandlerGauges {
    /// Those of the first partition, which also show what the handler has but once: its outbox, and what waits to come in.
    pub fn first(&self) -> &Arc<Gauges> {
        &self.first
    }

    /// Those of each partition, by its number.
    pub fn all(&self) -> Vec<Arc<Gauges>> {
        self.lock().clone()
    }

    /// Those of so many partitions from now on.
    pub(crate) fn of(&self, partitions: Partitions) -> Vec<Arc<Gauges>> {
        let mut all = self.lock();
        all.resize_with(partitions.0.get() as usize, Arc::default);
        all.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Gauges>>> {
        // Every change keeps the list whole, so a panic elsewhere does no harm.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
