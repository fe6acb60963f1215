//! What a host lacks to be ready: handlers that do not run, a log that does not answer. It hears of handlers from the
//! engine, and asks the log.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use waxwing_engine::{
    entry::Partition,
    port::{Log, observe::PartitionChange},
};
use waxwing_event::HandlerName;

/// How long the log may take to answer.
const LOG_ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer of the log counts, so that many who ask cost it little.
const LOG_ANSWER_COUNTS: Duration = Duration::from_secs(1);

/// Why a host is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// A handler that has not found its place yet.
    Beginning(HandlerName),
    /// A handler that is interrupted, and why.
    Interrupted(HandlerName, String),
    /// A handler that stands still until somebody helps, and why.
    Stopped(HandlerName, String),
    /// The log is not open yet.
    LogClosed,
    /// The log does not answer, and why.
    LogAway(String),
    /// The host stops.
    Draining,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Beginning(handler) => write!(f, "handler `{handler}` has not found its place yet"),
            Lack::Interrupted(handler, why) => write!(f, "handler `{handler}` is interrupted: {why}"),
            Lack::Stopped(handler, why) => {
                write!(f, "handler `{handler}` stands still until somebody helps: {why}")
            }
            Lack::LogClosed => f.write_str("the log is not open yet"),
            Lack::LogAway(why) => write!(f, "the log does not answer: {why}"),
            Lack::Draining => f.write_str("the host stops"),
        }
    }
}

/// How a handler's partition is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It reads, or another host does.
    Served,
    Interrupted(String),
    Stopped(String),
}

/// Each handler's partitions; none of a handler that has not been heard of.
type Handlers = BTreeMap<HandlerName, BTreeMap<Partition, Standing>>;

/// What is known of a host.
pub struct Health {
    handlers: Mutex<Handlers>,
    /// How many handlers are not served.
    left: watch::Sender<usize>,
    draining: watch::Sender<bool>,
    log: OnceLock<Arc<dyn Log>>,
    /// What the log said last, and when.
    said: tokio::sync::Mutex<Option<(Instant, Result<(), Lack>)>>,
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

impl Health {
    /// Of a host of which it is not known yet what it is to run.
    pub fn new() -> Health {
        Health {
            handlers: Mutex::default(),
            left: watch::Sender::new(usize::MAX),
            draining: watch::Sender::new(false),
            log: OnceLock::new(),
            said: tokio::sync::Mutex::default(),
        }
    }

    /// These handlers must be heard of.
    pub fn expects(&self, handlers: impl IntoIterator<Item = HandlerName>) {
        let mut known = self.handlers();
        for handler in handlers {
            known.entry(handler).or_default();
        }
        self.count(&known);
    }

    fn count(&self, handlers: &Handlers) {
        let is_served = |partitions: &BTreeMap<_, _>| {
            !partitions.is_empty() && partitions.values().all(|s| *s == Standing::Served)
        };
        let left = handlers.values().filter(|partitions| !is_served(partitions)).count();
        self.left.send_replace(left);
    }

    /// Returns when every handler reads, or another host does.
    pub async fn served(&self) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.left.subscribe().wait_for(|left| *left == 0).await;
    }

    /// Takes note of what happens to a handler.
    pub fn hear(&self, handler: &HandlerName, partition: Partition, change: &PartitionChange) {
        let standing = match change {
            // Whoever has it next tells how it is there.
            PartitionChange::Waiting { .. } | PartitionChange::Started { .. } | PartitionChange::Released => {
                Standing::Served
            }
            PartitionChange::Interrupted(why) => Standing::Interrupted(why.clone()),
            PartitionChange::Stopped(why) => Standing::Stopped(why.clone()),
            _ => return,
        };
        let mut handlers = self.handlers();
        handlers.entry(handler.clone()).or_default().insert(partition, standing);
        self.count(&handlers);
    }

    /// The log that must answer from now on; the first one counts.
    pub fn opened(&self, log: Arc<dyn Log>) {
        let _ = self.log.set(log);
    }

    /// The host stops: it is never ready again.
    pub fn drains(&self) {
        self.draining.send_replace(true);
    }

    /// What it lacks; nothing: it is ready.
    pub async fn lacks(&self) -> Vec<Lack> {
        if *self.draining.borrow() {
            return vec![Lack::Draining];
        }
        let log = self.log_lacks().await.err();
        let handlers = self.handlers();
        let of_handlers = handlers.iter().flat_map(|(handler, partitions)| {
            let unheard = partitions.is_empty().then(|| Lack::Beginning(handler.clone()));
            let heard = partitions.values().filter_map(|standing| match standing {
                Standing::Served => None,
                Standing::Interrupted(why) => Some(Lack::Interrupted(handler.clone(), why.clone())),
                Standing::Stopped(why) => Some(Lack::Stopped(handler.clone(), why.clone())),
            });
            // Several partitions seldom lack different things.
            let mut lacks: Vec<Lack> = unheard.into_iter().chain(heard).collect();
            lacks.dedup();
            lacks
        });
        log.into_iter().chain(of_handlers).collect()
    }

    /// Asks the log, one at a time.
    async fn log_lacks(&self) -> Result<(), Lack> {
        let log = self.log.get().ok_or(Lack::LogClosed)?;
        let mut said = self.said.lock().await;
        if let Some((when, answer)) = said.as_ref()
            && when.elapsed() < LOG_ANSWER_COUNTS
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout(LOG_ANSWERS_WITHIN, log.bounds()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Lack::LogAway(error.to_string())),
            Err(_) => Err(Lack::LogAway(format!("not within {} s", LOG_ANSWERS_WITHIN.as_secs()))),
        };
        *said = Some((Instant::now(), answer.clone()));
        answer
    }

    fn handlers(&self) -> MutexGuard<'_, Handlers> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use waxwing_engine::port::clock::SystemClock;
    use waxwing_event::Position;
    use waxwing_log::MemoryLog;

    use super::*;

    fn named(name: &str) -> HandlerName {
        name.parse().unwrap()
    }

    fn health() -> Health {
        let health = Health::new();
        health.expects([named("a"), named("b")]);
        health.opened(Arc::new(MemoryLog::new(Arc::new(SystemClock))));
        health
    }

    #[tokio::test]
    async fn is_ready_when_each_handler_is_served_here_or_elsewhere() {
        let health = health();
        assert_eq!(health.lacks().await, [Lack::Beginning(named("a")), Lack::Beginning(named("b"))]);
        health.hear(&named("a"), Partition(0), &PartitionChange::Started { from: Position(1) });
        health.hear(&named("b"), Partition(0), &PartitionChange::Waiting { owner: "h".to_owned() });
        assert_eq!(health.lacks().await, []);
        health.served().await;
        health.hear(&named("a"), Partition(0), &PartitionChange::Paused);
        assert_eq!(health.lacks().await, []);
    }

    #[tokio::test]
    async fn says_what_is_interrupted_or_stands_still_until_it_goes_on() {
        let health = health();
        health.hear(&named("a"), Partition(0), &PartitionChange::Interrupted("away".to_owned()));
        health.hear(&named("b"), Partition(0), &PartitionChange::Stopped("help".to_owned()));
        let lacks = health.lacks().await;
        assert_eq!(
            lacks,
            [Lack::Interrupted(named("a"), "away".to_owned()), Lack::Stopped(named("b"), "help".to_owned())]
        );
        assert_eq!(lacks[1].to_string(), "handler `b` stands still until somebody helps: help");
        for handler in ["a", "b"] {
            health.hear(&named(handler), Partition(0), &PartitionChange::Started { from: Position(1) });
        }
        assert_eq!(health.lacks().await, []);
    }

    #[tokio::test]
    async fn is_not_ready_without_a_log_and_never_again_once_it_stops() {
        let health = Health::new();
        assert_eq!(health.lacks().await, [Lack::LogClosed]);
        health.opened(Arc::new(MemoryLog::new(Arc::new(SystemClock))));
        assert_eq!(health.lacks().await, []);
        health.drains();
        assert_eq!(health.lacks().await, [Lack::Draining]);
    }
}
