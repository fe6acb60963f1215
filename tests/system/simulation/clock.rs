//! Virtual time: it stands still while anything can run, and jumps to the next timer when all is idle.
//!
//! The runtime that a simulation runs on has no time of its own, so whatever would wait for another clock than
//! this one panics.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use waxwing_engine::port::Clock;

use super::{dice::Dice, gate::Gate};

/// Virtual time. Clones are the same.
#[derive(Clone)]
pub struct VirtualClock {
    dice: Dice,
    timers: Arc<Mutex<Timers>>,
    worn_out: Arc<Gate>,
}

#[derive(Default)]
struct Timers {
    now: Duration,
    set: u64,
    ended: u64,
    waiting: BTreeMap<Due, Waker>,
}

/// So many timers end in no run that gets anywhere.
const MOST_TIMERS: u64 = 500_000;

/// When a timer ends; the dice say which goes first of those that end together, then the order of setting.
type Due = (Duration, u64, u64);

impl VirtualClock {
    pub fn new(dice: Dice) -> VirtualClock {
        let worn_out = Gate::default();
        worn_out.shut();
        VirtualClock { dice, timers: Arc::default(), worn_out: Arc::new(worn_out) }
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.timers.lock().unwrap().now
    }

    pub fn wait(&self, time: Duration) -> Wait {
        self.wait_until(self.elapsed() + time)
    }

    pub fn wait_until(&self, time: Duration) -> Wait {
        let order = self.dice.any();
        let mut timers = self.timers.lock().unwrap();
        timers.set += 1;
        Wait { due: (time, order, timers.set), timers: self.timers.clone() }
    }

    /// Returns when far too much has happened.
    pub async fn worn_out(&self) {
        self.worn_out.pass().await;
    }

    /// Nothing can run any more: ends the next timer, one at a time.
    pub fn advance(&self) {
        let next = {
            let mut timers = self.timers.lock().unwrap();
            let next = timers.waiting.pop_first();
            if let Some(((time, ..), _)) = &next {
                timers.now = timers.now.max(*time);
            }
            timers.ended += 1;
            if timers.ended == MOST_TIMERS {
                self.worn_out.open();
            }
            next
        };
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

/// Ends when its time has come.
pub struct Wait {
    due: Due,
    timers: Arc<Mutex<Timers>>,
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.timers.lock().unwrap();
        if self.due.0 <= timers.now {
            timers.waiting.remove(&self.due);
            return Poll::Ready(());
        }
        timers.waiting.insert(self.due, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.timers.lock().unwrap().waiting.remove(&self.due);
    }
}

/// The clock on the wall of one host, which may be wrong.
pub struct WallClock {
    pub time: VirtualClock,
    pub wrong_by: SignedDuration,
}

/// When a simulation begins: 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(BEGINNING).unwrap() + self.time.elapsed() + self.wrong_by
    }

    async fn sleep(&self, duration: Duration) {
        self.time.wait(duration).await;
    }
}
