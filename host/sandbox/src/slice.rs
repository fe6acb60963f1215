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

/// How long a run may go on before it gives way to others.
const SLICE: Duration = Duration::from_millis(1);

/// Ticks of the epoch until a run looks at its slice again.
const TICKS: u64 = 1;

thread_local! {
    static NOW: Cell<Option<Slice>> = const { Cell::new(None) };
    static GAVE_WAY: Cell<bool> = const { Cell::new(false) };
    static WAITS_FOR_STATE: Cell<bool> = const { Cell::new(false) };
}

/// The slice that is open on a thread.
#[derive(Debug, Clone, Copy)]
struct Slice {
    opened: Instant,
    left: Duration,
    turn: Turn,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A run that is new or was woken: it has [`SLICE`], however often the epoch ticks.
    Prompt,
    /// A run that has given way before: it does so at the next tick, which comes at once when others want to run.
    Slow,
}

/// The run has used up its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the run's deadline has passed")]
pub(crate) struct DeadlinePassed;

/// Opens a slice on this thread, for a run that has this much left of its deadline.
pub(crate) fn open(opened: Instant, left: Duration, turn: Turn) {
    NOW.set(Some(Slice { opened, left, turn }));
    GAVE_WAY.set(false);
    WAITS_FOR_STATE.set(false);
}

/// What is left of the deadline of the run that is polled on this thread; none where none is.
pub(crate) fn left() -> Option<Duration> {
    NOW.get().map(|slice| slice.left.saturating_sub(slice.opened.elapsed()))
}

/// True where the run gave way since the slice was opened.
pub(crate) fn gave_way() -> bool {
    GAVE_WAY.get()
}

/// Notes that the run cannot go on until the host has read its state.
pub(crate) fn wait_for_state() {
    WAITS_FOR_STATE.set(true);
}

/// True where the run has come to a wait for its state since the slice was opened.
pub(crate) fn waits_for_state() -> bool {
    WAITS_FOR_STATE.get()
}

/// Makes the runs in a store keep to their slices.
pub(crate) fn guard(store: &mut Store<Guest>) {
    store.epoch_deadline_callback(|_| {
        let Some(slice) = NOW.get() else { return Ok(UpdateDeadline::Yield(TICKS)) };
        let elapsed = slice.opened.elapsed();
        if elapsed >= slice.left {
            return Err(DeadlinePassed.into());
        }
        if slice.turn == Turn::Prompt && elapsed < SLICE {
            return Ok(UpdateDeadline::Continue(TICKS));
        }
        GAVE_WAY.set(true);
        Ok(UpdateDeadline::Yield(TICKS))
    });
}

/// Makes a store's next run look at its slice in time.
pub(crate) fn refill(store: &mut Store<Guest>) {
    store.set_epoch_deadline(TICKS);
}
