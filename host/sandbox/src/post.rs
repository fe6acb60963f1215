//! Where a worker is reached: which of its runs were woken, and how to rouse it while it is parked.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, Thread},
};

/// Where a worker is reached.
#[derive(Debug, Default)]
pub(crate) struct Post {
    woken: Mutex<Vec<usize>>,
    parked: AtomicBool,
    slicing: AtomicBool,
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

    /// True on the worker's own thread.
    pub(crate) fn is_here(&self) -> bool {
        self.thread.get().is_some_and(|thread| thread.id() == thread::current().id())
    }

    /// Says whether a run that has given way before has its slice.
    pub(crate) fn set_slicing(&self, slicing: bool) {
        self.slicing.store(slicing, SeqCst);
    }

    /// True, once a slice, while [`Post::set_slicing`] says so.
    pub(crate) fn cut_slice(&self) -> bool {
        self.slicing.load(SeqCst) && self.slicing.swap(false, SeqCst)
    }

    fn woken(&self) -> MutexGuard<'_, Vec<usize>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
