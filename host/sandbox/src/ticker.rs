//! Ticks the epoch while guests run, and rests while none does.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};

use crate::engine::Engines;

/// Time between ticks.
const TICK: Duration = Duration::from_millis(1);

/// Ticks without work before the ticker rests: waking it costs more than ticking on for a while.
const TICKS_BEFORE_REST: u32 = 100;

/// Whether anybody works, as workers and ticker know it.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    working: AtomicUsize,
    resting: AtomicBool,
    ended: AtomicBool,
}

/// The ticker's thread; it ends with this value.
#[derive(Debug)]
pub(crate) struct Ticker {
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts ticking.
    pub(crate) fn start(engines: Arc<Engines>) -> io::Result<Ticker> {
        let pulse = Arc::new(Pulse::default());
        let shared = pulse.clone();
        let thread =
            thread::Builder::new().name("waxwing-tick".to_owned()).spawn(move || tick(&engines, &shared))?;
        Ok(Ticker { pulse, thread: Some(thread) })
    }

    /// What a worker needs to tell when it works.
    pub(crate) fn handle(&self) -> TickerHandle {
        TickerHandle { pulse: self.pulse.clone(), thread: self.thread.as_ref().map(|t| t.thread().clone()) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.pulse.ended.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A ticker that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// Tells the ticker when a worker works.
#[derive(Debug, Clone)]
pub(crate) struct TickerHandle {
    pulse: Arc<Pulse>,
    thread: Option<Thread>,
}

impl TickerHandle {
    /// This worker runs guests from now on.
    pub(crate) fn begin(&self) {
        self.pulse.working.fetch_add(1, SeqCst);
        if self.pulse.resting.swap(false, SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.unpark();
        }
    }

    /// This worker runs none until it begins again.
    pub(crate) fn end(&self) {
        self.pulse.working.fetch_sub(1, SeqCst);
    }
}

fn tick(engines: &Engines, pulse: &Pulse) {
    let mut quiet = 0;
    while !pulse.ended.load(SeqCst) {
        thread::sleep(TICK);
        engines.increment_epoch();
        quiet = if pulse.working.load(SeqCst) > 0 { 0 } else { quiet + 1 };
        if quiet >= TICKS_BEFORE_REST {
            rest(pulse);
            quiet = 0;
        }
    }
}

fn rest(pulse: &Pulse) {
    pulse.resting.store(true, SeqCst);
    // Whoever began before it could see that the ticker rests is seen here.
    while pulse.resting.load(SeqCst) && pulse.working.load(SeqCst) == 0 && !pulse.ended.load(SeqCst) {
        thread::park();
    }
    pulse.resting.store(false, SeqCst);
}
