//! What happens to events, requests and commits, counted as it happens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Counter, Gauge, Histogram, Meter},
};
use waxwing_engine::{
    entry::version::VersionNumber,
    port::observe::{Commit, Handled, HandledResult, PartitionChange, VisitResult, Visited},
};
use waxwing_event::HandlerName;

/// The label that names the handler.
pub(super) const HANDLER: &str = "handler";
/// What stands for the version of a module that was not deployed.
const NO_VERSION: &str = "manifest";

/// Upper bounds of times, in seconds.
const TIMES: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of how many are in one commit.
const SIZES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// Counters and times.
pub(super) struct Events {
    events: Counter<u64>,
    requests: Counter<u64>,
    emitted: Counter<u64>,
    swaps: Counter<u64>,
    interruptions: Counter<u64>,
    stopped: Gauge<u64>,
    run: Histogram<f64>,
    queue: Histogram<f64>,
    commit: Histogram<f64>,
    batches: Batches,
    handlers: RwLock<HashMap<HandlerName, Arc<OfHandler>>>,
}

/// Commits, whichever handlers they are of.
struct Batches {
    runs: BoundHistogram<u64>,
    entries: BoundHistogram<u64>,
    time: BoundHistogram<f64>,
}

/// The instruments of one handler.
struct OfHandler {
    run: BoundHistogram<f64>,
    queue: BoundHistogram<f64>,
    commit: BoundHistogram<f64>,
    emitted: BoundCounter<u64>,
    /// By version and end; few.
    ends: Mutex<Vec<Ended>>,
}

/// How many events of a version came to this end.
struct Ended {
    version: Option<VersionNumber>,
    outcome: &'static str,
    count: BoundCounter<u64>,
}

impl Events {
    pub(super) fn new(meter: Meter) -> Events {
        let counter = |name, about| meter.u64_counter(name).with_description(about).build();
        let time = |name, about| {
            meter
                .f64_histogram(name)
                .with_description(about)
                .with_unit("s")
                .with_boundaries(TIMES.to_vec())
                .build()
        };
        let size = |name, about| {
            meter.u64_histogram(name).with_description(about).with_boundaries(SIZES.to_vec()).build()
        };
        Events {
            events: counter(
                "waxwing.events",
                "Events that came to an end: done, dead, retry (it waits for another attempt), waits (behind one of its key)",
            ),
            requests: counter(
                "waxwing.requests",
                "Requests and live messages that came to an end: done, known, refused, failed",
            ),
            emitted: counter("waxwing.emitted_events", "Events that handlers emitted, durably"),
            swaps: counter("waxwing.module_swaps", "Swaps of a partition to another version of its module"),
            interruptions: counter("waxwing.interruptions", "Partitions that lost the log or their lease"),
            stopped: meter
                .u64_gauge("waxwing.stopped")
                .with_description("1 while the handler stands still on this host until somebody helps")
                .build(),
            run: time("waxwing.run_duration", "Time in the sandbox, all attempts of an event together"),
            queue: time("waxwing.queue_duration", "From when an event was read until its run began"),
            commit: time(
                "waxwing.commit_duration",
                "From when a run's effects were handed over until they were durable",
            ),
            batches: Batches {
                runs: size("waxwing.batch_runs", "Runs in one commit").bind(&[]),
                entries: size("waxwing.batch_entries", "Entries in one commit").bind(&[]),
                time: time("waxwing.batch_duration", "From when a commit was sent until the log had it")
                    .bind(&[]),
            },
            handlers: RwLock::default(),
        }
    }

    pub(super) fn handled(&self, handled: &Handled<'_>) {
        let of = self.of(handled.handler);
        of.run.record(handled.elapsed.as_secs_f64());
        if let Some(queued) = handled.queued {
            of.queue.record(queued.as_secs_f64());
        }
        if let Some(committing) = handled.committing {
            of.commit.record(committing.as_secs_f64());
        }
        let end = match &handled.result {
            HandledResult::Done { emitted, .. } => {
                of.emitted.add(emitted.len() as u64);
                "done"
            }
            HandledResult::Dead(_) => "dead",
            HandledResult::Parked { failure: Some(_), .. } => "retry",
            HandledResult::Parked { failure: None, .. } => "waits",
        };
        of.ended(handled.version, end, || {
            let version =
                handled.version.map_or_else(|| NO_VERSION.to_owned(), |version| version.to_string());
            let labels =
                [label(handled.handler), KeyValue::new("version", version), KeyValue::new("outcome", end)];
            self.events.bind(&labels)
        });
    }

    pub(super) fn visited(&self, visited: &Visited<'_>) {
        let (of, kind) = (self.of(visited.handler), visited.kind.as_str());
        let outcome = match &visited.result {
            VisitResult::Done { emitted, .. } => {
                of.emitted.add(emitted.len() as u64);
                of.run.record(visited.elapsed.as_secs_f64());
                "done"
            }
            VisitResult::Failed(_) => {
                of.run.record(visited.elapsed.as_secs_f64());
                "failed"
            }
            VisitResult::Known => "known",
            VisitResult::Refused(_) => "refused",
        };
        let labels = [label(visited.handler), KeyValue::new("kind", kind), KeyValue::new("outcome", outcome)];
        self.requests.add(1, &labels);
    }

    pub(super) fn partition(&self, handler: &HandlerName, change: &PartitionChange) {
        match change {
            PartitionChange::Swapped { .. } => self.swaps.add(1, &[label(handler)]),
            PartitionChange::Interrupted(_) => self.interruptions.add(1, &[label(handler)]),
            PartitionChange::Stopped(_) => self.stopped.record(1, &[label(handler)]),
            PartitionChange::Started { .. } | PartitionChange::Waiting { .. } | PartitionChange::Released => {
                self.stopped.record(0, &[label(handler)])
            }
            _ => {}
        }
    }

    pub(super) fn committed(&self, commit: &Commit) {
        self.batches.runs.record(commit.runs as u64);
        self.batches.entries.record(commit.entries as u64);
        self.batches.time.record(commit.elapsed.as_secs_f64());
    }

    fn of(&self, handler: &HandlerName) -> Arc<OfHandler> {
        let known = self.handlers.read().unwrap_or_else(PoisonError::into_inner).get(handler).cloned();
        known.unwrap_or_else(|| {
            let labels = [label(handler)];
            let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
            let of = || OfHandler {
                run: self.run.bind(&labels),
                queue: self.queue.bind(&labels),
                commit: self.commit.bind(&labels),
                emitted: self.emitted.bind(&labels),
                ends: Mutex::default(),
            };
            handlers.entry(handler.clone()).or_insert_with(|| Arc::new(of())).clone()
        })
    }
}

impl OfHandler {
    /// Counts an event; `counter` makes what is still missing.
    fn ended(
        &self,
        version: Option<VersionNumber>,
        outcome: &'static str,
        counter: impl FnOnce() -> BoundCounter<u64>,
    ) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ends.iter().find(|known| known.version == version && known.outcome == outcome) {
            return known.count.add(1);
        }
        let count = counter();
        count.add(1);
        ends.push(Ended { version, outcome, count });
    }
}

/// A handler's label.
pub(super) fn label(handler: &HandlerName) -> KeyValue {
    KeyValue::new(HANDLER, handler.to_string())
}
