//! Tells on the host's log what handlers do.

use std::sync::Arc;

use tracing::{debug, error, info, warn};
use waxwing_engine::entry::Partition;
use waxwing_engine::{
    canary::Tally,
    entry::verdict::{Sentence, Verdict},
    policy::is_alive,
    port::{
        Observe,
        observe::{Handled, HandledResult, OutboxChange, PartitionChange, VisitResult, Visited},
        requests::Kind,
    },
};
use waxwing_event::{Event, Failure, HandlerName, Subject};

use crate::control::Health;

/// Logs what happens, and tells the host's health of it.
pub(super) struct Watch {
    health: Arc<Health>,
}

impl Watch {
    pub(super) fn new(health: Arc<Health>) -> Watch {
        Watch { health }
    }
}

/// The correlation id, where it is another than the event's own.
fn correlation(event: Option<&Event>) -> Option<&str> {
    event.filter(|event| event.correlation_id != event.id).map(|event| event.correlation_id.as_str())
}

impl Observe for Watch {
    fn handled(&self, handled: &Handled<'_>) {
        let is_usual = matches!(
            handled.result,
            HandledResult::Done { .. } | HandledResult::Parked { failure: None, .. }
        );
        if is_usual && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let Handled { handler, position, event, result, elapsed, version, .. } = handled;
        let (correlation, version) = (correlation(*event), version.map(|version| version.to_string()));
        let version = version.as_deref();
        let (id, subject) = event.map_or(("?", "?"), |event| (event.id.as_str(), event.subject.as_str()));
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        match result {
            HandledResult::Done { emitted, state_keys } => {
                let emitted = emitted.iter().map(Subject::as_str).collect::<Vec<_>>().join(" ");
                debug!(%handler, subject, %position, id, elapsed_us, emitted, state_keys, version, correlation, "handled");
            }
            HandledResult::Dead(failure) => {
                let (kind, reason) = (failure.kind.as_str(), failure.reason.as_str());
                let backtrace = in_one_line(failure);
                warn!(%handler, subject, %position, id, elapsed_us, kind, reason, backtrace, version, correlation, "dead letter");
            }
            HandledResult::Parked { failure: Some(failure), attempts, due } => {
                let (kind, reason) = (failure.kind.as_str(), failure.reason.as_str());
                let backtrace = in_one_line(failure);
                info!(%handler, subject, %position, id, elapsed_us, kind, reason, backtrace, attempts, %due, version, correlation, "will be tried again");
            }
            HandledResult::Parked { failure: None, .. } => {
                debug!(%handler, subject, %position, id, version, correlation, "waits behind another of its key");
            }
        }
    }

    fn visited(&self, visited: &Visited<'_>) {
        let Visited { handler, kind, subject, event, result, elapsed, .. } = visited;
        let correlation = correlation(*event);
        let (word, id) = (kind.as_str(), event.map_or("?", |event| event.id.as_str()));
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        match result {
            VisitResult::Done { emitted, state_keys } => {
                let emitted = emitted.iter().map(Subject::as_str).collect::<Vec<_>>().join(" ");
                debug!(%handler, kind = word, %subject, id, elapsed_us, emitted, state_keys, correlation, "handled");
            }
            VisitResult::Known => {
                debug!(%handler, kind = word, %subject, id, correlation, "answered from the log")
            }
            VisitResult::Refused(why) => {
                info!(%handler, kind = word, %subject, id, why, correlation, "refused")
            }
            VisitResult::Failed(failure) if *kind == Kind::Live || !is_alive(Some(failure)) => {
                let (failed, reason) = (failure.kind.as_str(), failure.reason.as_str());
                let backtrace = in_one_line(failure);
                warn!(%handler, kind = word, %subject, id, elapsed_us, failed, reason, backtrace, correlation, "failed");
            }
            VisitResult::Failed(failure) => {
                let (failed, reason) = (failure.kind.as_str(), failure.reason.as_str());
                debug!(%handler, kind = word, %subject, id, elapsed_us, failed, reason, correlation, "refused by the handler");
            }
        }
    }

    fn shed(&self, handler: &HandlerName, count: u64) {
        warn!(%handler, count, "live messages were shed: more came than can be handled");
    }

    fn partition(&self, handler: &HandlerName, partition: Partition, change: &PartitionChange) {
        match change {
            PartitionChange::Waiting { owner } => {
                info!(%handler, %partition, owner, "waiting: another host has this handler")
            }
            PartitionChange::Started { from } => info!(%handler, %partition, %from, "reading"),
            PartitionChange::Swapped { version, module } => {
                let version =
                    version.map_or_else(|| "of the manifest".to_owned(), |version| version.to_string());
                info!(%handler, %partition, version, %module, "runs another version");
            }
            PartitionChange::Judged(verdict) => {
                let Verdict { version, sentence, tally: Tally { stable, canary }, .. } = verdict.as_ref();
                match sentence {
                    Sentence::RolledBack(worse) => {
                        warn!(%handler, %version, %worse, %canary, %stable, "the canary is rolled back")
                    }
                    Sentence::Promoted => {
                        info!(%handler, %version, %canary, %stable, "the canary is promoted")
                    }
                }
            }
            PartitionChange::Interrupted(why) => warn!(%handler, %partition, why, "interrupted"),
            PartitionChange::Stopped(why) => error!(%handler, %partition, why, "stopped: somebody must help"),
            PartitionChange::Outage { reason } => {
                warn!(%handler, %partition, reason, "outage: the handler is probed until it works again")
            }
            PartitionChange::OutageOver => info!(%handler, %partition, "works again"),
            PartitionChange::Paused => info!(%handler, %partition, "paused"),
            PartitionChange::Resumed => info!(%handler, %partition, "resumed"),
            PartitionChange::Released => info!(%handler, %partition, "released"),
        }
        self.health.hear(handler, partition, change);
    }

    fn outbox(&self, handler: &HandlerName, change: &OutboxChange) {
        match change {
            OutboxChange::Started { from } => info!(%handler, %from, "relaying the outbox"),
            OutboxChange::Relayed { out, behind } => {
                debug!(%handler, out, behind_ms = behind.as_millis(), "relayed")
            }
            OutboxChange::Stalled { subject, why } => {
                warn!(%handler, %subject, why, "the outbox waits: nothing goes out")
            }
            OutboxChange::SetAside { subject, id, why } => {
                warn!(%handler, %subject, id, why, "an event is refused outside and set aside")
            }
            OutboxChange::Interrupted(why) => warn!(%handler, why, "relaying was interrupted"),
            OutboxChange::Released => info!(%handler, "the outbox is released"),
        }
    }
}

/// The functions of a backtrace, innermost first.
fn in_one_line(failure: &Failure) -> Option<String> {
    failure.backtrace.as_ref().map(|backtrace| backtrace.replace('\n', " < "))
}
