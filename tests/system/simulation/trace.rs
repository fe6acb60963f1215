//! The trace of a run: what happened, line by line, in virtual time. The same seed gives the same bytes.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{Arc, Mutex},
};

use super::clock::VirtualClock;

/// What has happened. Clones are the same trace.
#[derive(Clone)]
pub struct Trace {
    clock: VirtualClock,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    text: String,
    seen: BTreeMap<Seen, u64>,
}

/// Things that a simulation is meant to make happen: counted, so that a test can say that they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    CrashBeforeACommit,
    CrashBeforeAnAnswer,
    CrashInARead,
    CrashAtAnyTime,
    CommitLost,
    AnswerLost,
    CommitLate,
    LateCommitRefused,
    ZombieCommitRefused,
    ReadFailed,
    ServerAway,
    Pause,
    Drain,
    LeaseChangedHands,
    SlowRun,
    RunAgain,
    DeadLetter,
    Batch,
    Parked,
    Outage,
    DependencyDown,
    HandlerPaused,
    Redrive,
    Archive,
    Edit,
    OperatorRefused,
}

impl Seen {
    pub const ALL: [Seen; 26] = [
        Seen::CrashBeforeACommit,
        Seen::CrashBeforeAnAnswer,
        Seen::CrashInARead,
        Seen::CrashAtAnyTime,
        Seen::CommitLost,
        Seen::AnswerLost,
        Seen::CommitLate,
        Seen::LateCommitRefused,
        Seen::ZombieCommitRefused,
        Seen::ReadFailed,
        Seen::ServerAway,
        Seen::Pause,
        Seen::Drain,
        Seen::LeaseChangedHands,
        Seen::SlowRun,
        Seen::RunAgain,
        Seen::DeadLetter,
        Seen::Batch,
        Seen::Parked,
        Seen::Outage,
        Seen::DependencyDown,
        Seen::HandlerPaused,
        Seen::Redrive,
        Seen::Archive,
        Seen::Edit,
        Seen::OperatorRefused,
    ];
}

impl Trace {
    pub fn new(clock: VirtualClock) -> Trace {
        Trace { clock, written: Arc::default() }
    }

    pub fn note(&self, who: &str, what: fmt::Arguments<'_>) {
        let time = self.clock.elapsed();
        let text = &mut self.written.lock().unwrap().text;
        writeln!(text, "{:>4}.{:06} {who:<5} {what}", time.as_secs(), time.subsec_micros()).unwrap();
    }

    pub fn count(&self, seen: Seen) {
        *self.written.lock().unwrap().seen.entry(seen).or_default() += 1;
    }

    pub fn text(&self) -> String {
        self.written.lock().unwrap().text.clone()
    }

    pub fn seen(&self) -> BTreeMap<Seen, u64> {
        self.written.lock().unwrap().seen.clone()
    }
}
