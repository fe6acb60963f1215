//! Where a worker is reached: which of its runs were woken, and how to rouse it while it is parked.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::Thread,
};

/// Where a worker is reached.
#[derive(Debug, Default)]
pub(crate) struct Post {
    woken: Mutex<Vec<usize>>,
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Post {
    /// Names the worker's thread.
    pub(crate) fn attach(&self, thread: Thread) {
        // A worker that starts again is on the same thread.
        let _ = self.thread.set(thread);
    }

    /// Tells the worker that the run in a slot can go on.
    pub(crate) fn wake(&self, slot: usize) {
        self.woken().push(slot);
        self.rouse();
    }

    /// Takes the slots that were told, into an empty list.
    pub(crate) fn take_woken(&self, slots: &mut Vec<usize>) {
        mem::swap(&mut *self.woken(), slots);
    }

    /// True where no slot was told.
    pub(crate) fn is_quiet(&self) -> bool {
        self.woken().is_empty()
    }

    /// Says whether the worker is about to park. Once it has said so it looks for work once more, and then parks.
    pub(crate) fn set_parked(&self, parked: bool) {
        self.parked.store(parked, SeqCst);
    }

    /// Ends the worker's rest. A worker that is busy is left alone: that costs a system call.
    pub(crate) fn rouse(&self) {
        if self.parked.swap(false, SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn woken(&self) -> MutexGuard<'_, Vec<usize>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
