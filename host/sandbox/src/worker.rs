//! A worker: one thread that runs guests, and switches between those that wait or take long.
//!
//! Each turn it resumes runs that were woken, runs a burst of fresh ones, and lets one long run have a slice.
//! Long runs get a quarter of its time while others want to run, and all of it while none does: an endless
//! loop neither stops its neighbours nor is it starved itself.

use std::{
    any::Any,
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use waxwing_event::{Failure, Outcome, handler, outcome::FailureKind};

use crate::{
    burst::Counted,
    failure,
    handler::{Job, Loaded},
    instance::Kept,
    niceness,
    options::Priority,
    post::Post,
    run::{self, Ended},
    schedule::Schedule,
    slice::{self, Turn},
    slots::{Live, Pause, Slots},
    ticker::TickerHandle,
    timer,
};

/// How much longer others may run than a long run did before it gets its next slice.
const OTHERS_SHARE: u32 = 3;

/// What is nicest to other threads.
const LEAST: i32 = 19;

/// How long a burst of one handler may last.
const BURST_TIME: Duration = Duration::from_millis(1);

/// What a worker starts with.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// Which worker it is.
    pub(crate) index: usize,
    /// Whether it gives way to other threads.
    pub(crate) priority: Priority,
    /// Instances that it may have at once, at least one.
    pub(crate) instances: usize,
    /// Where its runs come from.
    pub(crate) schedule: Arc<Schedule>,
    /// To be told when it works.
    pub(crate) ticker: TickerHandle,
}

/// Starts a worker's thread. It ends when the schedule is closed.
pub(crate) fn start(assignment: Assignment) -> io::Result<JoinHandle<()>> {
    let name = format!("waxwing-run-{}", assignment.index);
    thread::Builder::new().name(name).spawn(move || {
        if assignment.priority == Priority::Least {
            // Where that cannot be, it is as any other.
            if let Err(error) = niceness::give_way(LEAST) {
                tracing::debug!(%error, "the thread keeps its priority");
            }
        }
        while !assignment.schedule.is_closed() {
            // The runs of a worker that panicked are reported as their guards drop; the next one goes on.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&assignment))) {
                tracing::error!(
                    worker = assignment.index,
                    panic = words(panic.as_ref()),
                    "a sandbox worker panicked"
                );
            }
        }
    })
}

fn work(assignment: &Assignment) {
    let Some(post) = assignment.schedule.post(assignment.index) else { return };
    post.attach(thread::current());
    assignment.ticker.begin();
    let _working = Working(&assignment.ticker);
    let mut worker = Worker {
        index: assignment.index,
        instances: assignment.instances,
        schedule: assignment.schedule.clone(),
        ticker: assignment.ticker.clone(),
        slots: Slots::new(assignment.schedule.clone(), post.clone()),
        post,
        kept: Kept::default(),
        slow: VecDeque::new(),
        woken: Vec::new(),
        debt: Duration::ZERO,
        expiry: None,
        retired: 0,
    };
    while !worker.schedule.is_closed() {
        if !worker.turn() {
            worker.rest();
        }
    }
}

/// Tells the ticker when a worker ends, by a panic too.
struct Working<'a>(&'a TickerHandle);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Worker {
    index: usize,
    instances: usize,
    schedule: Arc<Schedule>,
    ticker: TickerHandle,
    post: Arc<Post>,
    slots: Slots,
    kept: Kept,
    /// Places of runs that gave way, in the order of their next slices.
    slow: VecDeque<usize>,
    woken: Vec<usize>,
    /// How long others may run before the next slice of a long run.
    debt: Duration,
    /// Not later than the first instant at which a waiting run has waited too long.
    expiry: Option<Instant>,
    retired: u64,
}

impl Worker {
    /// Does what there is to do; false where there was nothing.
    fn turn(&mut self) -> bool {
        let began = Instant::now();
        self.drop_retired();
        timer::fire(began);
        let woken = self.resume_woken();
        let fresh = self.run_burst();
        let busy = woken || fresh;
        if busy {
            self.debt = self.debt.saturating_sub(began.elapsed());
        }
        let slow = self.resume_slow(busy);
        self.expire();
        busy || slow
    }

    fn resume_woken(&mut self) -> bool {
        let mut woken = std::mem::take(&mut self.woken);
        self.post.take_woken(&mut woken);
        let mut resumed = false;
        for slot in woken.drain(..) {
            // A run that gave way wakes itself at once; it waits for its slice all the same.
            let waits = |pause| matches!(pause, Pause::Waits(_) | Pause::WaitsForState(_));
            if let Some(live) = self.slots.take_if(slot, waits) {
                self.resume(slot, live);
                resumed = true;
            }
        }
        self.woken = woken;
        resumed
    }

    fn run_burst(&mut self) -> bool {
        let room = self.instances.saturating_sub(self.slots.live());
        let taken = if room == 0 { None } else { self.schedule.take(room) };
        let Some(mut burst) = taken else { return false };
        let began = Instant::now();
        let mut now = began;
        while let Some(job) = burst.next() {
            let (after, pause) = self.start(burst.handler(), job, now);
            now = after;
            if pause.is_some() {
                burst.let_pause();
            }
            // The rest goes back: whoever is next in the ring shall not wait for a handler that takes long.
            if pause == Some(Pause::GaveWay) || now.saturating_duration_since(began) >= BURST_TIME {
                break;
            }
        }
        true
    }

    /// Starts a run; gives the instant after it, and why it pauses where it has not ended.
    fn start(&mut self, handler: &Arc<Loaded>, job: Job, now: Instant) -> (Instant, Option<Pause>) {
        let kept = match handler.instance {
            handler::Instance::Reuse => self.kept.take(handler),
            handler::Instance::Fresh => None,
        };
        if kept.is_none() && self.slots.live() + self.kept.count() >= self.instances {
            self.kept.evict();
        }
        let live = Live {
            future: Box::pin(run::run(handler.clone(), kept, job.task)),
            handler: handler.clone(),
            reply: job.reply,
            used: Duration::ZERO,
            waited: Duration::ZERO,
            pause: Pause::New,
            counted: None,
        };
        let slot = self.slots.reserve();
        self.poll(slot, live, now)
    }

    /// Lets one of the long runs have a slice, if it is their turn.
    fn resume_slow(&mut self, busy: bool) -> bool {
        if self.slow.is_empty() || (busy && !self.debt.is_zero()) {
            return false;
        }
        self.post.set_slicing(true);
        // Whatever came before nobody could know of this slice is seen here.
        if busy || !self.schedule.has_work() {
            self.give_slice();
        }
        self.post.set_slicing(false);
        true
    }

    fn give_slice(&mut self) {
        let began = Instant::now();
        let next = self.slow.pop_front();
        let live = next.and_then(|slot| Some((slot, self.slots.take_if(slot, |p| p == Pause::GaveWay)?)));
        if let Some((slot, live)) = live {
            self.resume(slot, live);
        }
        self.debt = began.elapsed() * OTHERS_SHARE;
    }

    /// Goes on with a run that paused.
    fn resume(&mut self, slot: usize, mut live: Live) {
        let now = Instant::now();
        match live.pause {
            Pause::Waits(since) => live.used += now.saturating_duration_since(since),
            Pause::WaitsForState(since) => live.waited += now.saturating_duration_since(since),
            Pause::New | Pause::GaveWay => {}
        }
        self.poll(slot, live, now);
    }

    /// Runs until the run ends or pauses.
    fn poll(&mut self, slot: usize, mut live: Live, now: Instant) -> (Instant, Option<Pause>) {
        let waker = self.slots.waker(slot);
        let turn = if live.pause == Pause::GaveWay { Turn::Slow } else { Turn::Prompt };
        slice::open(now, live.left(), turn);
        let polled =
            catch_unwind(AssertUnwindSafe(|| live.future.as_mut().poll(&mut Context::from_waker(&waker))));
        let after = Instant::now();
        live.used += after.saturating_duration_since(now);
        let pause = match polled {
            Ok(Poll::Pending) if slice::gave_way() => Pause::GaveWay,
            Ok(Poll::Pending) if slice::waits_for_state() => Pause::WaitsForState(after),
            Ok(Poll::Pending) => Pause::Waits(after),
            Ok(Poll::Ready(ended)) => {
                self.finish(slot, live, ended);
                return (after, None);
            }
            Err(panic) => {
                let reason = format!("the sandbox panicked: {}", words(panic.as_ref()));
                let outcome = Outcome::Failed(Failure::new(FailureKind::Unavailable, reason));
                self.finish(slot, live, Ended { outcome, instance: None });
                return (after, None);
            }
        };
        self.pause(slot, live, pause);
        (after, Some(pause))
    }

    fn pause(&mut self, slot: usize, mut live: Live, pause: Pause) {
        live.pause = pause;
        let count = || Counted::new(self.schedule.clone(), live.handler.clone());
        live.counted.get_or_insert_with(count).set_slow(pause == Pause::GaveWay);
        if pause == Pause::GaveWay {
            self.slow.push_back(slot);
        }
        if let Some(expires) = live.expires() {
            self.expiry = Some(self.expiry.map_or(expires, |expiry| expiry.min(expires)));
        }
        self.slots.fill(slot, live);
    }

    fn finish(&mut self, slot: usize, live: Live, ended: Ended) {
        self.slots.release(slot);
        let keep =
            live.handler.instance == handler::Instance::Reuse && matches!(ended.outcome, Outcome::Done(_));
        live.reply.send(ended.outcome, live.used + live.waited);
        if keep && let Some(instance) = ended.instance {
            self.kept.put(&live.handler, instance);
        }
    }

    /// Ends runs that have waited too long.
    fn expire(&mut self) {
        let now = Instant::now();
        if self.expiry.is_none_or(|expiry| expiry > now) {
            return;
        }
        let (expired, next) = self.slots.expired(now);
        self.expiry = next;
        for slot in expired {
            if let Some(live) = self.slots.take_if(slot, |_| true) {
                let Live { future, handler, reply, used, waited, .. } = live;
                drop(future);
                self.slots.release(slot);
                let deadline = handler.limits.deadline;
                reply.send(Outcome::Failed(failure::deadline(deadline)), used.max(deadline) + waited);
            }
        }
    }

    fn drop_retired(&mut self) {
        let retired = self.schedule.retired();
        if retired != self.retired {
            self.retired = retired;
            self.kept.drop_retired();
        }
    }

    /// Parks until there is something to do.
    fn rest(&mut self) {
        self.post.set_parked(true);
        // A worker without room for another instance waits for its own runs only.
        let full = self.slots.live() >= self.instances;
        let idle = full || self.schedule.go_idle(self.index);
        let news =
            !self.post.is_quiet() || self.schedule.is_closed() || self.schedule.retired() != self.retired;
        if idle && !news {
            self.ticker.end();
            match [self.expiry, timer::next()].into_iter().flatten().min() {
                Some(until) => thread::park_timeout(until.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
            self.ticker.begin();
        }
        self.post.set_parked(false);
        self.schedule.go_busy(self.index);
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why")
}
