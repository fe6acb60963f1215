//! The slice of time in which a worker lets a guest run.
//!
//! The worker opens a slice before it polls a run. The epoch callback runs on the worker's own thread, within
//! that poll, and looks here: it ends a run whose deadline has passed, and makes a long one give way.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use wasmtime::{Store, UpdateDeadline};

use crate::guest::Guest;

/// Ticks of the epoch before a new run gives way: at least one whole tick, as the next one may come at once.
const FIRST_TICKS: u64 = 2;

/// Ticks until a run that has given way once does it again.
const NEXT_TICKS: u64 = 1;

thread_local! {
    static ENDS: Cell<Option<Instant>> = const { Cell::new(None) };
    static GAVE_WAY: Cell<bool> = const { Cell::new(false) };
}

/// The run has used up its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the run's deadline has passed")]
pub(crate) struct DeadlinePassed;

/// Opens a slice on this thread.
pub(crate) fn open(now: Instant, left: Duration) {
    ENDS.set(now.checked_add(left));
    GAVE_WAY.set(false);
}

/// True where the run gave way since the slice was opened.
pub(crate) fn gave_way() -> bool {
    GAVE_WAY.get()
}

/// Makes the runs in a store keep to their slices.
pub(crate) fn guard(store: &mut Store<Guest>) {
    store.epoch_deadline_callback(|_| {
        if ENDS.get().is_some_and(|ends| Instant::now() >= ends) {
            return Err(DeadlinePassed.into());
        }
        GAVE_WAY.set(true);
        Ok(UpdateDeadline::Yield(NEXT_TICKS))
    });
}

/// Grants a store's next run its first ticks.
pub(crate) fn refill(store: &mut Store<Guest>) {
    store.set_epoch_deadline(FIRST_TICKS);
}
