//! Counts what handlers do, and knows when all is quiet.
//!
//! Every event on a subject is due to each handler that listens to it; a handled event is not due any more,
//! and those that it emitted are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tracing::{error, warn};
use waxwing_engine::entry::Partition;
use waxwing_engine::port::{
    Observe,
    observe::{Handled, HandledResult, PartitionChange},
};
use waxwing_event::{HandlerName, Pattern, Position};

use crate::config::AppConfig;

/// How long nothing may be due until all counts as quiet: what is handled and what is emitted are heard of
/// by different threads.
const QUIET_FOR: Duration = Duration::from_millis(30);

/// What one handler did.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) emitted: u64,
    pub(super) dead: u64,
    pub(super) elapsed: Duration,
}

/// One handled event, kept while the story is told.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) handler: HandlerName,
    pub(super) input: Position,
    pub(super) event_id: String,
    pub(super) elapsed: Duration,
    pub(super) end: End,
}

impl Act {
    /// How many events it emitted.
    pub(super) fn emitted(&self) -> usize {
        match self.end {
            End::Done { emitted, .. } => emitted,
            End::Dead { .. } => 0,
        }
    }
}

/// How an act ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    Done { emitted: usize, state_keys: usize },
    Dead { reason: String },
}

/// Counts, and keeps acts where they are asked for.
pub(super) struct Ledger {
    listeners: Vec<(HandlerName, Vec<Pattern>)>,
    book: Mutex<Book>,
    due: watch::Sender<i64>,
    unready: watch::Sender<usize>,
}

#[derive(Default)]
struct Book {
    tallies: BTreeMap<HandlerName, Tally>,
    acts: Option<Vec<Act>>,
}

impl Ledger {
    /// A ledger of this app's handlers.
    pub(super) fn new(config: &AppConfig) -> Ledger {
        let specs = || config.handlers.iter().map(|handler| &handler.spec);
        let tallies = specs().map(|spec| (spec.name.clone(), Tally::default())).collect();
        Ledger {
            listeners: specs().map(|spec| (spec.name.clone(), spec.on.clone())).collect(),
            book: Mutex::new(Book { tallies, acts: Some(Vec::new()) }),
            due: watch::Sender::new(0),
            unready: watch::Sender::new(config.handlers.len()),
        }
    }

    /// An event on this subject will be published.
    pub(super) fn expect(&self, subject: &str) {
        self.due.send_modify(|due| *due += self.listeners_of(subject));
    }

    /// Returns when every handler reads.
    pub(super) async fn ready(&self) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.unready.subscribe().wait_for(|left| *left == 0).await;
    }

    /// Returns when nothing is due any more.
    pub(super) async fn quiet(&self) {
        let mut due = self.due.subscribe();
        loop {
            let _ = due.wait_for(|due| *due == 0).await;
            if tokio::time::timeout(QUIET_FOR, due.wait_for(|due| *due != 0)).await.is_err() {
                return;
            }
        }
    }

    /// The acts since the last call.
    pub(super) fn take_acts(&self) -> Vec<Act> {
        self.book().acts.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// From now on acts are only counted.
    pub(super) fn only_count(&self) {
        self.book().acts = None;
    }

    /// What each handler did.
    pub(super) fn tallies(&self) -> BTreeMap<HandlerName, Tally> {
        self.book().tallies.clone()
    }

    /// How many events were handled in all.
    pub(super) fn handled(&self) -> u64 {
        self.book().tallies.values().map(|tally| tally.events).sum()
    }

    fn listeners_of(&self, subject: &str) -> i64 {
        let hears = |on: &[Pattern]| on.iter().any(|pattern| pattern.matches(subject));
        self.listeners.iter().map(|(_, on)| i64::from(hears(on))).sum()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observe for Ledger {
    fn handled(&self, handled: &Handled<'_>) {
        let (end, more, emitted) = match &handled.result {
            HandledResult::Done { emitted, state_keys } => {
                let more: i64 = emitted.iter().map(|subject| self.listeners_of(subject.as_str())).sum();
                (End::Done { emitted: emitted.len(), state_keys: *state_keys }, more, emitted.len())
            }
            HandledResult::Dead(failure) => (End::Dead { reason: failure.reason.clone() }, 0, 0),
            // Its end is told later.
            HandledResult::Parked { .. } => return,
        };
        let mut book = self.book();
        let tally = book.tallies.entry(handled.handler.clone()).or_default();
        tally.events += 1;
        tally.emitted += u64::try_from(emitted).unwrap_or_default();
        tally.dead += u64::from(matches!(end, End::Dead { .. }));
        tally.elapsed += handled.elapsed;
        if let (Some(acts), Some(event)) = (book.acts.as_mut(), handled.event) {
            acts.push(Act {
                handler: handled.handler.clone(),
                input: event.position,
                event_id: event.id.clone(),
                elapsed: handled.elapsed,
                end,
            });
        }
        drop(book);
        self.due.send_modify(|due| *due += more - 1);
    }

    fn partition(&self, handler: &HandlerName, _: Partition, change: &PartitionChange) {
        match change {
            PartitionChange::Started { .. } => {
                self.unready.send_modify(|left| *left = left.saturating_sub(1))
            }
            PartitionChange::Interrupted(why) => warn!(%handler, why, "interrupted"),
            PartitionChange::Stopped(why) => error!(%handler, why, "stopped: somebody must help"),
            PartitionChange::Outage { reason } => warn!(%handler, reason, "outage"),
            PartitionChange::Waiting { .. }
            | PartitionChange::Swapped { .. }
            | PartitionChange::Judged(_)
            | PartitionChange::OutageOver
            | PartitionChange::Paused
            | PartitionChange::Resumed
            | PartitionChange::Released => {}
        }
    }
}
