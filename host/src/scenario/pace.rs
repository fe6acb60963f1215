//! Virtual time, and one run at a time: while anything can go on, time stands still; when all is idle, it goes on to the
//! next moment for which somebody waits, as far as it may go.
//!
//! It is driven by the runtime of a scenario, which has one thread and no time of its own: [`Pace::park`] is called when
//! nothing on that thread can go on. Runs are on the sandbox's threads, and are handed over one after another, so that
//! the same scenario always goes the same way.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::Notify;
use waxwing_engine::port::{
    Clock, Invoke,
    clock::after,
    invoke::{Report, Run},
};
use waxwing_event::{Digest, HandlerName};

/// So many runs of one step come to no end.
const MOST_RUNS: u64 = 10_000;

/// Virtual time. Clones are the same.
#[derive(Clone)]
pub struct Pace(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    idle: Notify,
    worn_out: Notify,
    /// Wakes the runtime, so that it looks again.
    kick: Notify,
}

struct State {
    now: Timestamp,
    /// How far time may go on.
    until: Timestamp,
    set: u64,
    waiting: BTreeMap<(Timestamp, u64), Waker>,
    turns: VecDeque<Turn>,
    /// A run is under way, or has ended and the runtime has not looked since: who was woken by it may not have gone on yet.
    is_running: bool,
    order: Order,
    runs: BTreeMap<HandlerName, u64>,
    /// The most runs that ever waited together.
    together: usize,
}

/// A run that waits for its turn.
struct Turn {
    handler: HandlerName,
    module: Arc<dyn Invoke>,
    run: Run,
}

/// Which of the runs that could go on together goes first.
pub enum Order {
    /// The one that came first.
    First,
    /// The one that came last.
    Last,
    /// Any.
    Any(Box<StdRng>),
}

impl Order {
    /// Any, but the same whenever it is asked for.
    pub fn any(seed: u64) -> Order {
        Order::Any(Box::new(StdRng::seed_from_u64(seed)))
    }

    fn take(&mut self, turns: &mut VecDeque<Turn>) -> Option<Turn> {
        match self {
            Order::First => turns.pop_front(),
            Order::Last => turns.pop_back(),
            Order::Any(_) if turns.is_empty() => None,
            Order::Any(random) => turns.remove(random.random_range(0..turns.len())),
        }
    }
}

impl Pace {
    /// Time that begins then.
    pub fn new(now: Timestamp, order: Order) -> Pace {
        let state = State {
            now,
            until: now,
            set: 0,
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            is_running: false,
            order,
            runs: BTreeMap::new(),
            together: 0,
        };
        let [idle, worn_out, kick] = [(); 3].map(|()| Notify::new());
        Pace(Arc::new(Shared { state: Mutex::new(state), idle, worn_out, kick }))
    }

    /// Lets time go on, by this much at most.
    pub fn allow(&self, time: Duration) {
        let mut state = self.0.state();
        state.until = after(state.until, time);
    }

    /// Nothing on the runtime's thread can go on.
    pub fn park(&self) {
        let mut state = self.0.state();
        if state.is_running {
            return;
        }
        let State { order, turns, .. } = &mut *state;
        if let Some(Turn { handler, module, run }) = order.take(turns) {
            let runs = state.runs.entry(handler).or_default();
            *runs += 1;
            if *runs > MOST_RUNS {
                self.0.worn_out.notify_one();
                return;
            }
            state.is_running = true;
            drop(state);
            module.invoke(self.counted(run));
            return;
        }
        let next =
            state.waiting.first_key_value().map(|(due, _)| *due).filter(|(due, _)| *due <= state.until);
        match next {
            Some(due) => {
                state.now = state.now.max(due.0);
                let waker = state.waiting.remove(&due);
                drop(state);
                waker.into_iter().for_each(Waker::wake);
            }
            None => {
                state.now = state.until;
                drop(state);
                self.0.idle.notify_waiters();
            }
        }
    }

    /// Returns when nothing can go on before time does.
    pub async fn idle(&self) {
        self.0.idle.notified().await;
    }

    /// Returns when far too much has happened.
    pub async fn worn_out(&self) {
        self.0.worn_out.notified().await;
    }

    /// Wakes the runtime after each run, for ever: to be spawned on it.
    pub async fn keep_looking(self) {
        loop {
            self.0.kick.notified().await;
            // It stands behind those whom the run's end has woken.
            self.0.state().is_running = false;
        }
    }

    /// A module whose runs wait for their turns.
    pub fn paced(&self, handler: HandlerName, module: Arc<dyn Invoke>) -> Arc<dyn Invoke> {
        Arc::new(Paced { pace: self.clone(), handler, module })
    }

    /// Drops the runs that wait: their host is gone.
    pub fn forget_runs(&self) {
        let turns = std::mem::take(&mut self.0.state().turns);
        // Outside of the lock: who hears of it may ask for the time.
        drop(turns);
    }

    /// How often each handler has run since this was asked last.
    pub fn take_runs(&self) -> BTreeMap<HandlerName, u64> {
        std::mem::take(&mut self.0.state().runs)
    }

    /// The most runs that ever waited together.
    pub fn together(&self) -> usize {
        self.0.state().together
    }

    /// The run, after which the next one can go on.
    fn counted(&self, run: Run) -> Run {
        let Run { event, state, is_asked, reporter } = run;
        let shared = self.0.clone();
        let reporter = Box::new(move |report: Report| {
            reporter(report);
            shared.kick.notify_one();
        });
        Run { event, state, is_asked, reporter }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Paced {
    pace: Pace,
    handler: HandlerName,
    module: Arc<dyn Invoke>,
}

impl Invoke for Paced {
    fn invoke(&self, run: Run) {
        let mut state = self.pace.0.state();
        state.turns.push_back(Turn { handler: self.handler.clone(), module: self.module.clone(), run });
        state.together = state.together.max(state.turns.len());
    }

    fn digest(&self) -> Digest {
        self.module.digest()
    }
}

#[async_trait]
impl Clock for Pace {
    fn now(&self) -> Timestamp {
        self.0.state().now
    }

    async fn sleep(&self, duration: Duration) {
        let due = {
            let mut state = self.0.state();
            state.set += 1;
            (after(state.now, duration), state.set)
        };
        Wait { due, shared: self.0.clone() }.await;
    }
}

/// Ends when its time has come.
struct Wait {
    due: (Timestamp, u64),
    shared: Arc<Shared>,
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        if self.due.0 <= state.now {
            state.waiting.remove(&self.due);
            return Poll::Ready(());
        }
        state.waiting.insert(self.due, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.due);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use waxwing_event::{Effects, Headers, Outcome, Subject, decode};

    use super::*;
    use crate::capture::recollection::Recollection;

    /// Runs end as soon as they begin.
    struct AtOnce;

    impl Invoke for AtOnce {
        fn invoke(&self, run: Run) {
            let outcome = Outcome::Done(Effects::default());
            (run.reporter)(Report { outcome, elapsed: Duration::ZERO });
        }

        fn digest(&self) -> Digest {
            Digest([0; 32])
        }
    }

    #[test]
    fn nothing_counts_as_idle_before_who_was_woken_by_a_run_has_gone_on() {
        let pace = Pace::new(Timestamp::UNIX_EPOCH, Order::First);
        let subject = Subject::from_checked("in.item");
        let event = decode::message(&subject, &Headers::default(), &Bytes::new(), "1").unwrap();
        let run = Run {
            event: Arc::new(event),
            state: Arc::new(Recollection::default()),
            is_asked: false,
            reporter: Box::new(drop),
        };
        pace.paced("count".parse().unwrap(), Arc::new(AtOnce)).invoke(run);
        let (mut idle, mut looking) = (pin!(pace.idle()), pin!(pace.clone().keep_looking()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(idle.as_mut().poll(&mut cx).is_pending() && looking.as_mut().poll(&mut cx).is_pending());
        // It runs, and ends; the runtime was about to park, and has not looked yet.
        pace.park();
        pace.park();
        assert!(idle.as_mut().poll(&mut cx).is_pending());
        assert!(looking.as_mut().poll(&mut cx).is_pending());
        pace.park();
        assert!(idle.as_mut().poll(&mut cx).is_ready());
    }
}
