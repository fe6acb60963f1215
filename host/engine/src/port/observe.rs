//! Somebody who watches: a person before a terminal, counters, a test.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use waxwing_event::{Digest, Emit, Event, Failure, HandlerName, Position, Subject};

use super::requests::Kind;
use crate::{
    entry::{Partition, verdict::Verdict, version::VersionNumber},
    trace::Span,
};

/// Watches what handlers do. Called on the event's way, so it must be quick and must not block.
pub trait Observe: Send + Sync {
    /// An event was handled, and what came of it is durable.
    fn handled(&self, handled: &Handled<'_>);

    /// A request or a live message was handled, or refused; what came of it is durable.
    fn visited(&self, visited: &Visited<'_>) {
        let _ = visited;
    }

    /// So many live messages of a handler were not handled: more waited than may, or nobody could take them.
    /// Told at once, and then at most once a second.
    fn shed(&self, handler: &HandlerName, count: u64) {
        let _ = (handler, count);
    }

    /// A partition changed hands or stopped.
    fn partition(&self, handler: &HandlerName, partition: Partition, change: &PartitionChange);

    /// A commit is durable; of no interest unless implemented.
    fn committed(&self, _commit: &Commit) {}

    /// Something happened to a handler's outbox; of no interest unless implemented.
    fn outbox(&self, _handler: &HandlerName, _change: &OutboxChange) {}

    /// True where [`Handled::wrote`] and [`Visited::wrote`] are asked for: they cost a copy a run. Asked for each run.
    fn asks_what_was_written(&self) -> bool {
        false
    }
}

/// One handled event.
#[derive(Debug)]
pub struct Handled<'a> {
    /// Who handled it.
    pub handler: &'a HandlerName,
    /// Where the event lies in the log.
    pub position: Position,
    /// The event; none where the entry could not be decoded.
    pub event: Option<&'a Event>,
    /// What was written for it.
    pub result: HandledResult<'a>,
    /// Its effects in full, where the observer asks for them and there are any.
    pub wrote: Option<&'a Wrote>,
    /// Time in the sandbox.
    pub elapsed: Duration,
    /// The deployed version that ran it; none: that of the manifest, or it did not run.
    pub version: Option<VersionNumber>,
    /// For how long it waited, from when it was read until it began; none where it did not begin.
    pub queued: Option<Duration>,
    /// For how long its commit was on its way until it was durable; none where it wrote nothing.
    pub committing: Option<Duration>,
    /// Its last attempt as a part of a trace; none where it did not run, or traces are not kept.
    pub span: Option<Span>,
}

/// What went into the log in one atomic step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// How many runs are in it.
    pub runs: usize,
    /// How many entries it has.
    pub entries: usize,
    /// From when it was handed to the log until it was durable.
    pub elapsed: Duration,
}

/// The effects of a run, in full.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wrote {
    /// Emitted and appended events, in order.
    pub emits: Vec<Emit>,
    /// Keys of the state with their values; none: deleted.
    pub state: Vec<(String, Option<Bytes>)>,
    /// Timers with the time at which they are due; none: cancelled.
    pub timers: Vec<(String, Option<Timestamp>)>,
}

/// What was written for an event.
#[derive(Debug)]
pub enum HandledResult<'a> {
    /// Its effects.
    Done {
        /// Subjects of emitted events, in order.
        emitted: &'a [Subject],
        /// How many state keys were written.
        state_keys: usize,
    },
    /// A dead letter.
    Dead(&'a Failure),
    /// It waits in the log: for its next attempt, or behind another of its key.
    Parked {
        /// Why its last attempt failed; none where it was not tried yet.
        failure: Option<&'a Failure>,
        /// How often it was tried.
        attempts: u32,
        /// When it may run, if nothing else stands in its way.
        due: Timestamp,
    },
}

/// A request or a live message that has come to its end.
#[derive(Debug)]
pub struct Visited<'a> {
    /// Who handled it.
    pub handler: &'a HandlerName,
    /// What it was.
    pub kind: Kind,
    /// The subject on which it was published.
    pub subject: &'a Subject,
    /// The event; none where it could not be decoded.
    pub event: Option<&'a Event>,
    /// What came of it.
    pub result: VisitResult<'a>,
    /// Its effects in full, where the observer asks for them and there are any.
    pub wrote: Option<&'a Wrote>,
    /// Time in the sandbox.
    pub elapsed: Duration,
    /// Its last attempt as a part of a trace; none where it did not run, or traces are not kept.
    pub span: Option<Span>,
}

/// What came of a request or a live message.
#[derive(Debug)]
pub enum VisitResult<'a> {
    /// Its effects, which were written; and the answer, where somebody waited.
    Done {
        /// Subjects of emitted events, in order.
        emitted: &'a [Subject],
        /// How many state keys were written.
        state_keys: usize,
    },
    /// It had been handled before: the answer was found in the log.
    Known,
    /// It did not run; the reason says why.
    Refused(&'a str),
    /// Its last attempt failed, and it had no effect.
    Failed(&'a Failure),
}

/// What happened to a partition on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionChange {
    /// Another host has it; this one waits.
    Waiting {
        /// The owner's host id.
        owner: String,
    },
    /// This host has it and has found its place.
    Started {
        /// The first position that may have to be handled.
        from: Position,
    },
    /// It goes on with another version of its module.
    Swapped {
        /// The version; none: it was not deployed.
        version: Option<VersionNumber>,
        /// The module.
        module: Digest,
    },
    /// Its canary is worse than the version beside which it runs, or has passed.
    Judged(Box<Verdict>),
    /// It lost the log or the lease and will try to get back.
    Interrupted(String),
    /// It cannot go on until a person has helped; the reason says how.
    Stopped(String),
    /// The handler is taken for down: its events wait, one at a time probes it.
    Outage {
        /// How the last of the events failed that showed it.
        reason: String,
    },
    /// The handler works again.
    OutageOver,
    /// An operator has paused the handler: nothing of it starts.
    Paused,
    /// An operator lets the handler go on.
    Resumed,
    /// It is given up in good order.
    Released,
}

/// What happened to a handler's outbox on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxChange {
    /// This host relays it.
    Started {
        /// The first position that may have to be relayed.
        from: Position,
    },
    /// Told now and then, while there is something to tell.
    Relayed {
        /// Events that went out since it was told last.
        out: u64,
        /// For how long the oldest has waited that is known to wait; zero: none does.
        behind: Duration,
    },
    /// Nothing goes out for now: an event is tried again and again, and those behind it wait.
    Stalled {
        /// Where it goes.
        subject: Subject,
        /// What stands in its way.
        why: String,
    },
    /// An event is refused for good; those behind it go on.
    SetAside {
        /// Where it was to go.
        subject: Subject,
        /// Its id.
        id: String,
        /// Why it is refused.
        why: String,
    },
    /// This host lost the log or its right to relay, and will try to get back.
    Interrupted(String),
    /// It is given up in good order.
    Released,
}

/// Several who watch, told one after the other.
pub struct Observers(pub Vec<Arc<dyn Observe>>);

impl Observe for Observers {
    fn handled(&self, handled: &Handled<'_>) {
        self.0.iter().for_each(|each| each.handled(handled));
    }

    fn visited(&self, visited: &Visited<'_>) {
        self.0.iter().for_each(|each| each.visited(visited));
    }

    fn shed(&self, handler: &HandlerName, count: u64) {
        self.0.iter().for_each(|each| each.shed(handler, count));
    }

    fn partition(&self, handler: &HandlerName, partition: Partition, change: &PartitionChange) {
        self.0.iter().for_each(|each| each.partition(handler, partition, change));
    }

    fn committed(&self, commit: &Commit) {
        self.0.iter().for_each(|each| each.committed(commit));
    }

    fn outbox(&self, handler: &HandlerName, change: &OutboxChange) {
        self.0.iter().for_each(|each| each.outbox(handler, change));
    }

    fn asks_what_was_written(&self) -> bool {
        self.0.iter().any(|each| each.asks_what_was_written())
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observe for Unobserved {
    fn handled(&self, _: &Handled<'_>) {}
    fn partition(&self, _: &HandlerName, _: Partition, _: &PartitionChange) {}
}
