//! Who runs next: handlers with waiting runs stand in a ring, and workers take bursts of them in turn.
//!
//! A handler stands in the ring exactly while it has waiting runs and may have more of them under way. So
//! taking a run from a busy handler costs its own lock only, and handlers do not wait for each other.
//!
//! Invariant: a worker that rests with nothing to do stands among the idle ones, and has seen the ring empty
//! after it stood there.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use crate::{
    burst::Burst,
    engine::Engines,
    handler::{Job, Loaded, Queue},
    post::Post,
};

/// The most runs of one handler that a worker takes at once.
const BURST: usize = 16;

/// The most runs of one handler under way, for each worker.
const LIVE: usize = 16;

/// The most runs of one handler under way that have been made to give way, for each worker.
const SLOW: usize = 4;

/// The runs of all handlers, and the workers.
#[derive(Debug)]
pub(crate) struct Schedule {
    engines: Arc<Engines>,
    ring: Mutex<Ring>,
    posts: Vec<Arc<Post>>,
    closed: AtomicBool,
    retired: AtomicU64,
    handlers: Mutex<Vec<Weak<Loaded>>>,
}

#[derive(Debug, Default)]
struct Ring {
    handlers: VecDeque<Arc<Loaded>>,
    idle: Vec<usize>,
}

impl Schedule {
    /// Nothing to run yet, for this many workers of these engines.
    pub(crate) fn new(workers: usize, engines: Arc<Engines>) -> Schedule {
        Schedule {
            engines,
            ring: Mutex::default(),
            posts: (0..workers).map(|_| Arc::default()).collect(),
            closed: AtomicBool::new(false),
            retired: AtomicU64::new(0),
            handlers: Mutex::default(),
        }
    }

    /// Takes a handler in.
    pub(crate) fn register(&self, handler: &Arc<Loaded>) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.retain(|handler| handler.strong_count() > 0);
        handlers.push(Arc::downgrade(handler));
        handler.queue().closed = self.is_closed();
    }

    /// Queues a run.
    pub(crate) fn submit(&self, handler: &Arc<Loaded>, job: Job) {
        let mut queue = handler.queue();
        if queue.closed {
            // Dropped after the lock: that reports the run.
            drop(queue);
            return drop(job);
        }
        queue.jobs.push_back(job);
        let enters = self.enters(&mut queue);
        drop(queue);
        if enters {
            self.enter(handler.clone());
        }
    }

    /// Takes up to `most` runs of the handler whose turn it is.
    pub(crate) fn take(self: &Arc<Self>, most: usize) -> Option<Burst> {
        let handler = self.ring().handlers.pop_front()?;
        let mut queue = handler.queue();
        queue.queued = false;
        // Shared out, so that a short queue keeps all workers busy.
        let share = queue.jobs.len().div_ceil(self.posts.len().max(1));
        let free = (LIVE * self.posts.len()).saturating_sub(queue.live);
        let count = share.min(most).min(BURST).min(free).min(queue.jobs.len());
        let jobs = queue.jobs.drain(..count).collect();
        queue.live += count;
        let enters = self.enters(&mut queue);
        drop(queue);
        if enters {
            self.enter(handler.clone());
        }
        Some(Burst::new(self.clone(), handler, jobs))
    }

    /// Gives back runs that were taken and not started, and counts those that have ended.
    pub(crate) fn settle(&self, handler: &Arc<Loaded>, ended: usize, unstarted: &mut VecDeque<Job>) {
        let mut queue = handler.queue();
        queue.live = queue.live.saturating_sub(ended + unstarted.len());
        while let Some(job) = unstarted.pop_back() {
            queue.jobs.push_front(job);
        }
        if queue.closed {
            unstarted.extend(queue.jobs.drain(..));
        }
        let enters = self.enters(&mut queue);
        drop(queue);
        unstarted.clear();
        if enters {
            self.enter(handler.clone());
        }
    }

    /// Counts runs that have been made to give way, and those that have not any more.
    pub(crate) fn count_slow(&self, handler: &Arc<Loaded>, change: isize) {
        let mut queue = handler.queue();
        queue.slow = queue.slow.saturating_add_signed(change);
        let enters = self.enters(&mut queue);
        drop(queue);
        if enters {
            self.enter(handler.clone());
        }
    }

    /// Decides whether a handler enters the ring now.
    fn enters(&self, queue: &mut Queue) -> bool {
        let workers = self.posts.len();
        let may_run = queue.live < LIVE * workers && queue.slow < SLOW * workers;
        let enters = !queue.queued && may_run && !queue.jobs.is_empty();
        queue.queued |= enters;
        enters
    }

    fn enter(&self, handler: Arc<Loaded>) {
        let mut ring = self.ring();
        ring.handlers.push_back(handler);
        let idle = ring.idle.pop();
        drop(ring);
        match idle.and_then(|worker| self.posts.get(worker)) {
            Some(post) => post.rouse(),
            // Nobody is free: whoever has an endless loop running gets free with the next tick.
            None if self.posts.iter().any(|post| post.cut_slice()) => self.engines.increment_epoch(),
            None => {}
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a worker that the run in one of its slots can go on.
    pub(crate) fn wake(&self, post: &Post, slot: usize) {
        post.wake(slot);
        if !post.is_here() && post.cut_slice() {
            self.engines.increment_epoch();
        }
    }

    /// True where some handler stands in the ring.
    pub(crate) fn has_work(&self) -> bool {
        !self.ring().handlers.is_empty()
    }

    /// Puts a worker among the idle ones; false where there is something to run.
    pub(crate) fn go_idle(&self, worker: usize) -> bool {
        let mut ring = self.ring();
        if ring.handlers.is_empty() {
            ring.idle.push(worker);
        }
        ring.handlers.is_empty()
    }

    /// Takes a worker back from the idle ones.
    pub(crate) fn go_busy(&self, worker: usize) {
        self.ring().idle.retain(|idle| *idle != worker);
    }

    /// Where a worker is reached.
    pub(crate) fn post(&self, worker: usize) -> Option<Arc<Post>> {
        self.posts.get(worker).cloned()
    }

    /// Counts up when a handler is let go: its instances can be dropped.
    pub(crate) fn retired(&self) -> u64 {
        self.retired.load(SeqCst)
    }

    /// Tells workers that a handler was let go.
    pub(crate) fn tell_retired(&self) {
        self.retired.fetch_add(1, SeqCst);
        self.posts.iter().for_each(|post| post.rouse());
    }

    /// True once the sandbox has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// Ends all runs that wait, refuses further ones and tells the workers to end.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
        let handlers = mem::take(&mut *self.handlers.lock().unwrap_or_else(PoisonError::into_inner));
        for handler in handlers.iter().filter_map(Weak::upgrade) {
            let mut queue = handler.queue();
            queue.closed = true;
            let jobs = mem::take(&mut queue.jobs);
            drop(queue);
            drop(jobs);
        }
        self.ring().handlers.clear();
        self.posts.iter().for_each(|post| post.rouse());
    }
}
