//! The feed: what handlers do, as the engine tells it. A few events a second are told in full, of the others only how
//! many they were; so it costs a fast handler next to nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::mpsc;
use waxwing_engine::{
    entry::Partition,
    port::{
        Observe,
        observe::{Handled, HandledResult, OutboxChange, PartitionChange, VisitResult, Visited, Wrote},
        requests::Kind,
    },
};
use waxwing_event::{Event, Failure, HandlerName, Position, Subject};

/// Events a second that are told in full.
const IN_FULL: u32 = 20;

/// Failures a second that are told beside them.
const FAILURES_IN_FULL: u32 = 20;

/// One run, or what became of an event without one.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub(super) at: Timestamp,
    pub(super) handler: HandlerName,
    /// What it was, where it was no event of the log.
    pub(super) kind: Option<Kind>,
    pub(super) subject: Option<Subject>,
    pub(super) event: Option<Event>,
    pub(super) position: Option<Position>,
    pub(super) end: End,
    pub(super) elapsed: Duration,
    pub(super) wrote: Wrote,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It had its effects.
    Done,
    /// It will be tried again.
    Retry { failure: Failure, attempts: u32, due: Timestamp },
    /// It waits behind another of its key.
    Behind,
    /// It is a dead letter.
    Dead(Failure),
    /// It was answered from the log.
    Known,
    /// It did not run.
    Refused(String),
    /// It failed, and somebody was told.
    Failed(Failure),
}

impl End {
    /// True where a person should see it.
    fn is_failure(&self) -> bool {
        matches!(self, End::Retry { .. } | End::Dead(_) | End::Failed(_) | End::Refused(_))
    }
}

/// Something about a handler on this host.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub(super) at: Instant,
    pub(super) handler: HandlerName,
    pub(super) what: What,
}

/// What it is.
#[derive(Debug, Clone)]
pub(super) enum What {
    Partition(Partition, PartitionChange),
    Outbox(OutboxChange),
    Shed(u64),
}

/// Events that were not told in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) failed: u64,
    pub(super) elapsed: Duration,
}

/// Observes the engine.
pub(super) struct Feed {
    happenings: mpsc::Sender<Happening>,
    news: mpsc::UnboundedSender<News>,
    left: AtomicU32,
    failures_left: AtomicU32,
    more: Mutex<BTreeMap<HandlerName, Tally>>,
}

/// Hears what a feed tells.
pub(super) struct Heard {
    pub(super) happenings: mpsc::Receiver<Happening>,
    /// Few, so they may be as many as they are.
    pub(super) news: mpsc::UnboundedReceiver<News>,
}

impl Feed {
    /// A feed, and who hears it.
    pub(super) fn new() -> (Feed, Heard) {
        let most = usize::try_from(IN_FULL + FAILURES_IN_FULL).unwrap_or(usize::MAX);
        let (happenings, happened) = mpsc::channel(most);
        let (news, heard) = mpsc::unbounded_channel();
        let feed = Feed {
            happenings,
            news,
            left: AtomicU32::new(IN_FULL),
            failures_left: AtomicU32::new(FAILURES_IN_FULL),
            more: Mutex::default(),
        };
        (feed, Heard { happenings: happened, news: heard })
    }

    /// Another second begins; gives what was only counted in the one before.
    pub(super) fn next_second(&self) -> BTreeMap<HandlerName, Tally> {
        self.left.store(IN_FULL, Relaxed);
        self.failures_left.store(FAILURES_IN_FULL, Relaxed);
        std::mem::take(&mut *self.more())
    }

    fn more(&self) -> MutexGuard<'_, BTreeMap<HandlerName, Tally>> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(
        &self,
        handler: &HandlerName,
        (is_failure, elapsed): (bool, Duration),
        tell: impl FnOnce() -> Happening,
    ) {
        let left = if is_failure { &self.failures_left } else { &self.left };
        let may = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if may && self.happenings.try_send(tell()).is_ok() {
            return;
        }
        let mut more = self.more();
        let tally = match more.get_mut(handler) {
            Some(tally) => tally,
            None => more.entry(handler.clone()).or_default(),
        };
        tally.events += 1;
        tally.failed += u64::from(is_failure);
        tally.elapsed += elapsed;
    }

    fn pass_on(&self, handler: &HandlerName, what: What) {
        // Nobody hears it only when all ends.
        let _ = self.news.send(News { at: Instant::now(), handler: handler.clone(), what });
    }
}

impl Observe for Feed {
    fn handled(&self, handled: &Handled<'_>) {
        let end = match &handled.result {
            HandledResult::Done { .. } => End::Done,
            HandledResult::Dead(failure) => End::Dead((*failure).clone()),
            HandledResult::Parked { failure: Some(failure), attempts, due } => {
                End::Retry { failure: (*failure).clone(), attempts: *attempts, due: *due }
            }
            HandledResult::Parked { failure: None, .. } => End::Behind,
        };
        self.tell(handled.handler, (end.is_failure(), handled.elapsed), || Happening {
            at: Timestamp::now(),
            handler: handled.handler.clone(),
            kind: None,
            subject: handled.event.map(|event| event.subject.clone()),
            event: handled.event.cloned(),
            position: Some(handled.position),
            end,
            elapsed: handled.elapsed,
            wrote: handled.wrote.cloned().unwrap_or_default(),
        });
    }

    fn visited(&self, visited: &Visited<'_>) {
        let end = match &visited.result {
            VisitResult::Done { .. } => End::Done,
            VisitResult::Known => End::Known,
            VisitResult::Refused(why) => End::Refused((*why).to_owned()),
            VisitResult::Failed(failure) => End::Failed((*failure).clone()),
        };
        self.tell(visited.handler, (end.is_failure(), visited.elapsed), || Happening {
            at: Timestamp::now(),
            handler: visited.handler.clone(),
            kind: Some(visited.kind),
            subject: Some(visited.subject.clone()),
            event: visited.event.cloned(),
            position: None,
            end,
            elapsed: visited.elapsed,
            wrote: visited.wrote.cloned().unwrap_or_default(),
        });
    }

    fn shed(&self, handler: &HandlerName, count: u64) {
        self.pass_on(handler, What::Shed(count));
    }

    fn partition(&self, handler: &HandlerName, partition: Partition, change: &PartitionChange) {
        self.pass_on(handler, What::Partition(partition, change.clone()));
    }

    fn outbox(&self, handler: &HandlerName, change: &OutboxChange) {
        // Each second, as long as something goes out.
        if !matches!(change, OutboxChange::Relayed { .. }) {
            self.pass_on(handler, What::Outbox(change.clone()));
        }
    }

    fn asks_what_was_written(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handled(feed: &Feed, failure: Option<&Failure>) {
        let handler = "one".parse().unwrap();
        let result = match failure {
            Some(failure) => HandledResult::Dead(failure),
            None => HandledResult::Done { emitted: &[], state_keys: 0 },
        };
        let elapsed = Duration::from_millis(1);
        feed.handled(&Handled {
            handler: &handler,
            position: Position(1),
            event: None,
            result,
            wrote: None,
            elapsed,
            version: None,
            queued: None,
            committing: None,
            span: None,
        });
    }

    #[test]
    fn of_many_events_a_second_most_are_only_counted_and_failures_still_are_told() {
        let (feed, mut heard) = Feed::new();
        (0..1_000).for_each(|_| handled(&feed, None));
        let failure = Failure::new(waxwing_event::outcome::FailureKind::Reject, "no");
        handled(&feed, Some(&failure));
        let told: Vec<_> = std::iter::from_fn(|| heard.happenings.try_recv().ok()).collect();
        assert_eq!(told.len(), 21);
        assert!(matches!(&told[20].end, End::Dead(failure) if failure.reason == "no"));
        let more = feed.next_second();
        let counted = Tally { events: 980, failed: 0, elapsed: Duration::from_millis(980) };
        assert_eq!(more.into_values().collect::<Vec<_>>(), [counted]);
        handled(&feed, None);
        assert!(heard.happenings.try_recv().is_ok() && feed.next_second().is_empty());
    }
}
