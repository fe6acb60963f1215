//! Runs of a worker that have begun and wait for something.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Wake, Waker},
    time::{Duration, Instant},
};

use crate::{
    burst::Counted,
    handler::{Loaded, Reply},
    post::Post,
    run::Ended,
    schedule::Schedule,
};

/// A run that has begun.
pub(crate) struct Live {
    /// The run.
    pub(crate) future: Pin<Box<dyn Future<Output = Ended>>>,
    /// Its handler.
    pub(crate) handler: Arc<Loaded>,
    /// Where its end is told.
    pub(crate) reply: Reply,
    /// How much of its deadline is used up.
    pub(crate) used: Duration,
    /// How long it has waited for its state, for which its deadline does not count.
    pub(crate) waited: Duration,
    /// Why it does not run just now.
    pub(crate) pause: Pause,
    /// Its place in its handler's count, once it has paused.
    pub(crate) counted: Option<Counted>,
}

/// Why a run does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It has not begun.
    New,
    /// It has waited since this instant.
    Waits(Instant),
    /// It has waited since this instant for the host to read its state.
    WaitsForState(Instant),
    /// It has had its slice and gave way to others.
    GaveWay,
}

impl Live {
    /// What is left of its deadline.
    pub(crate) fn left(&self) -> Duration {
        self.handler.limits.deadline.saturating_sub(self.used)
    }

    /// When a wait has lasted for the rest of its deadline.
    pub(crate) fn expires(&self) -> Option<Instant> {
        match self.pause {
            Pause::Waits(since) => since.checked_add(self.left()),
            Pause::New | Pause::WaitsForState(_) | Pause::GaveWay => None,
        }
    }
}

/// Numbered places for runs. A place keeps its waker, so that most runs need none of their own; a waker that
/// is used late wakes the place's next run, which does no harm.
pub(crate) struct Slots {
    schedule: Arc<Schedule>,
    post: Arc<Post>,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

struct Slot {
    waker: Waker,
    live: Option<Live>,
}

impl Slots {
    /// No places yet; wakers tell the worker at this post.
    pub(crate) fn new(schedule: Arc<Schedule>, post: Arc<Post>) -> Slots {
        Slots { schedule, post, slots: Vec::new(), free: Vec::new() }
    }

    /// How many runs wait.
    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a free place. It is given back by [`Slots::release`], or filled by [`Slots::fill`].
    pub(crate) fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            let slot = self.slots.len();
            let waker = Waker::from(Arc::new(SlotWaker {
                schedule: self.schedule.clone(),
                post: self.post.clone(),
                slot,
            }));
            self.slots.push(Slot { waker, live: None });
            slot
        })
    }

    /// Gives a place back.
    pub(crate) fn release(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// The waker of a place.
    pub(crate) fn waker(&self, slot: usize) -> Waker {
        self.slots.get(slot).map_or_else(|| Waker::noop().clone(), |slot| slot.waker.clone())
    }

    /// Puts a run into a place.
    pub(crate) fn fill(&mut self, slot: usize, live: Live) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.live = Some(live);
        }
    }

    /// Takes the run out of a place where it pauses for a reason of this kind; the place stays taken.
    pub(crate) fn take_if(&mut self, slot: usize, wanted: impl FnOnce(Pause) -> bool) -> Option<Live> {
        self.slots.get_mut(slot)?.live.take_if(|live| wanted(live.pause))
    }

    /// The places whose runs have waited too long, and when the next one will have.
    pub(crate) fn expired(&self, now: Instant) -> (Vec<usize>, Option<Instant>) {
        let mut expired = Vec::new();
        let mut next = None;
        for (slot, live) in self.slots.iter().enumerate().filter_map(|(i, s)| Some((i, s.live.as_ref()?))) {
            match live.expires() {
                Some(expires) if expires <= now => expired.push(slot),
                Some(expires) => next = Some(next.map_or(expires, |next: Instant| next.min(expires))),
                None => {}
            }
        }
        (expired, next)
    }
}

struct SlotWaker {
    schedule: Arc<Schedule>,
    post: Arc<Post>,
    slot: usize,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.schedule.wake(&self.post, self.slot);
    }
}
