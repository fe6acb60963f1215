//! The weather: which faults a run has, and how many. It is drawn from the seed, so that runs differ in kind:
//! one has crashes alone, the next a bad network and pauses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::dice::Dice;

/// Which faults there are. Clones share whether it is calm.
#[derive(Debug, Clone)]
pub struct Weather {
    calm: Arc<AtomicBool>,
    faults: Faults,
}

/// Rates in per cent.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Lives of a host in which something happens between two of its steps.
    pub incidents: u64,
    /// The most steps before an incident.
    pub steps: u64,
    /// Incidents that are crashes; the others are pauses.
    pub crashes: u64,
    /// The longest way to the server, or back.
    pub latency: Duration,
    /// Ways that take a hundred times as long.
    pub delays: u64,
    /// Commits that never arrive.
    pub lost: u64,
    /// Commits that are taken and never answered.
    pub unanswered: u64,
    /// Commits that are given up before they arrive.
    pub late: u64,
    /// Reads that fail.
    pub unread: u64,
    /// Times that something befalls a host by the clock: it is paused, drained or killed.
    pub befalls: Option<Duration>,
    /// Times that the server is away.
    pub outages: Option<Duration>,
    /// Runs that take seconds.
    pub slow: u64,
    /// Times that somebody at the command line does something.
    pub operators: Option<Duration>,
    /// Times that what a handler depends on is down.
    pub dependencies: Option<Duration>,
}

impl Weather {
    pub fn drawn(dice: &Dice) -> Weather {
        let sometimes = |most: u64| if dice.percent(50) { dice.within(1..most + 1) } else { 0 };
        let every = |most: u64| dice.percent(50).then(|| dice.millis(300..most * 1000));
        let faults = Faults {
            incidents: if dice.percent(80) { dice.within(50..101) } else { 0 },
            steps: dice.pick(&[10, 50, 200, 500]),
            crashes: dice.pick(&[0, 50, 80, 100]),
            latency: dice.spread(Duration::from_millis(20)),
            delays: sometimes(3),
            lost: sometimes(5),
            unanswered: sometimes(5),
            late: sometimes(5),
            unread: sometimes(5),
            befalls: every(6),
            outages: every(8),
            slow: sometimes(10),
            operators: every(4),
            dependencies: every(10),
        };
        Weather { calm: Arc::default(), faults }
    }

    /// The faults, as long as there are any.
    pub fn faults(&self) -> Option<&Faults> {
        (!self.is_calm()).then_some(&self.faults)
    }

    /// No further fault comes.
    pub fn clear_up(&self) {
        self.calm.store(true, Relaxed);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    /// How long a way to the server takes, or back.
    pub fn way(&self, dice: &Dice) -> Duration {
        let far = self.faults().is_some_and(|faults| dice.percent(faults.delays));
        // Never no time at all: whatever goes on and on must come to an end by the clock.
        Duration::from_micros(1) + dice.spread(self.faults.latency) * if far { 100 } else { 1 }
    }
}
