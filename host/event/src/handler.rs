//! What a manifest says of a handler, checked and complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    HandlerName, Label, Pattern, SecretName, StreamName, Subject,
    files::FileGrant,
    http::{HttpGrant, HttpLimits},
    key::KeySource,
};

/// A handler: what it listens to, what it may do, within which limits.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerSpec {
    /// Its name within the app.
    pub name: HandlerName,
    /// The stream that it reads; none: the app's log.
    pub stream: Option<StreamName>,
    /// The subjects of the log whose events it handles. One of `on`, `request` and `live` is not empty.
    pub on: Vec<Pattern>,
    /// Subjects outside the log whose messages are requests: handled, committed, then answered.
    pub request: Vec<Pattern>,
    /// Subjects outside the log whose messages are handled at most once, and not answered.
    pub live: Vec<Pattern>,
    /// How long a request is known by its `Nats-Msg-Id`: a second one within this time gets the first one's
    /// answer. Whole seconds.
    pub dedupe: Duration,
    /// True where events of the log are known by their ids for that long, too: one that comes again has no effects.
    pub dedupe_events: bool,
    /// Where the key is found that keeps events in order; empty: no order.
    pub key: Vec<KeySource>,
    /// Into how many parts its keys are divided; each runs on one host, with a window and with `concurrency` of its own.
    pub partitions: NonZeroU32,
    /// How many events are under way at once, in each partition: started and not yet committed.
    pub concurrency: NonZeroU32,
    /// How often and when a failed event is tried again.
    pub retry: RetryPolicy,
    /// What becomes of a key whose event has used up its attempts.
    pub on_exhausted: OnExhausted,
    /// When the handler itself counts as down, rather than its events as bad.
    pub outage: OutagePolicy,
    /// Which events a handler begins with that has never run.
    pub start: Start,
    /// How long a sandbox lives.
    pub instance: Instance,
    /// What a run may use.
    pub limits: Limits,
    /// What a run may do.
    pub grants: Grants,
    /// What its HTTP calls may use up.
    pub http: HttpLimits,
    /// Where its aggregates have their histories: the events of one stand on `<this>.<id>`.
    pub aggregate: Option<Subject>,
    /// How its events for subjects outside the log go out.
    pub outbox: Outbox,
    /// What a host must be for it to run there.
    pub requires: BTreeSet<Label>,
    /// As what others read its state; none: not at all.
    pub publish: Option<View>,
    /// Named values for the handler.
    pub settings: BTreeMap<String, String>,
}

/// Which events a handler begins with that has never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// The oldest event of the log.
    #[default]
    First,
    /// The first event published after the handler's start.
    New,
}

/// How long a sandbox lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Instance {
    /// One for each event: nothing of an event is left for the next.
    #[default]
    Fresh,
    /// Kept for many events; replaced after a failure.
    Reuse,
}

/// What a run may use.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Wall time of one run, its waits for state apart; waits for what lies outside (HTTP, files) count.
    pub deadline: Duration,
    /// Linear memory of one sandbox.
    pub memory_bytes: u64,
    /// Entries that one run may write: at most 900, as a batch holds 1,000.
    pub effects: u32,
    /// Bytes of all effects of one run.
    pub effect_bytes: u64,
    /// Bytes of one emitted event or state value; the server's limit holds too.
    pub entry_bytes: u64,
    /// Log lines of one run; further lines are counted and dropped.
    pub log_lines: u32,
    /// Bytes of log lines, standard output and standard error of one run.
    pub log_bytes: u64,
    /// Bytes of events that were read and are not handled: no more are read where there are as many.
    pub in_flight_bytes: u64,
    /// Events that may be parked at once: waiting for their next attempt, or behind one of their key. Where
    /// there is no room, an event that would be parked becomes a dead letter.
    pub parked: u32,
    /// Timers that are set and whose events are not handled. Where there is no room, a run that sets another one
    /// fails for good.
    pub timers: u32,
    /// Requests that wait for a run at once, and live messages beside them: so many of each.
    pub waiting: u32,
    /// Bytes of the requests that wait, and of the live messages that wait beside them.
    pub waiting_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            deadline: Duration::from_secs(1),
            memory_bytes: 32 << 20,
            effects: 256,
            effect_bytes: 4 << 20,
            entry_bytes: 1_000_000,
            log_lines: 256,
            log_bytes: 64 << 10,
            in_flight_bytes: 64 << 20,
            parked: 100_000,
            timers: 100_000,
            waiting: 1024,
            waiting_bytes: 16 << 20,
        }
    }
}

/// How often and when a failed event is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included: at least 1.
    pub attempts: u32,
    /// How many of these are made at once, the first one included: at least 1.
    pub immediate: u32,
    /// The longest delay before the first attempt that is not made at once; it doubles from attempt to
    /// attempt. Each delay is random between nothing and its bound (full jitter).
    pub first: Duration,
    /// The bound of all delays.
    pub most: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts: 10,
            immediate: 2,
            first: Duration::from_secs(1),
            most: Duration::from_secs(300),
        }
    }
}

/// What becomes of a key whose event became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExhausted {
    /// The key waits: its later events are parked until the dead letter is redriven or archived.
    #[default]
    DeadLetterKey,
    /// The key goes on without the event.
    DeadLetterEvent,
}

/// When a handler is taken for down: then it is probed, and no event spends an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutagePolicy {
    /// So many different events failed one after another, none succeeding between them; 0: never.
    pub after: u32,
    /// The time between two probes.
    pub probe: Duration,
}

impl Default for OutagePolicy {
    fn default() -> OutagePolicy {
        OutagePolicy { after: 10, probe: Duration::from_secs(30) }
    }
}

/// What a run may do. Nothing is granted by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Subjects that the app's log keeps.
    pub emit: Vec<Pattern>,
    /// Subjects outside the log that some other stream keeps.
    pub publish: Vec<Pattern>,
    /// Subjects outside the log for whoever listens at that moment.
    pub live: Vec<Pattern>,
    /// Subjects outside the log that may be asked over core NATS. Questions are no effects: they are asked at once, and
    /// at least once.
    pub request: Vec<Pattern>,
    /// Origins that may be called over HTTP. Calls are no effects: they are made at once, and at least once.
    pub http: Vec<HttpGrant>,
    /// Directories that may be used. Writes are no effects: they are made at once, and not undone.
    pub files: Vec<FileGrant>,
    /// Secrets of the host that may be read.
    pub secrets: Vec<SecretName>,
}

impl Grants {
    /// Where an event on `subject` is to arrive; none where no grant covers it.
    pub fn reach(&self, subject: &str) -> Option<Reach> {
        let covers = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(subject));
        let outside = |audience, patterns| (Reach::Outside(audience), patterns);
        let grants = [
            (Reach::Log, &self.emit),
            outside(Audience::Stream, &self.publish),
            outside(Audience::Live, &self.live),
        ];
        grants.into_iter().find(|(_, patterns)| covers(patterns)).map(|(reach, _)| reach)
    }

    /// True where nothing may be emitted.
    pub fn is_empty(&self) -> bool {
        self.emit.is_empty() && !self.leave_the_log()
    }

    /// True where something may leave the log.
    pub fn leave_the_log(&self) -> bool {
        !(self.publish.is_empty() && self.live.is_empty())
    }
}

/// Where an event is to arrive to count as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// In the app's log.
    Log,
    /// Outside of it, by way of the outbox.
    Outside(Audience),
}

/// Who is to have an event that leaves the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// A stream, which says that it has it.
    Stream,
    /// Whoever listens at that moment.
    Live,
}

/// How a handler's events for subjects outside the log go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// How many are on their way at once. With one, nothing can change their order.
    pub in_flight: NonZeroU32,
    /// How often one is tried that is refused, before it is set aside.
    pub attempts: NonZeroU32,
}

impl Default for Outbox {
    fn default() -> Outbox {
        let number = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Outbox { in_flight: number(64), attempts: number(5) }
    }
}

/// As what others read a handler's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A KV bucket of NATS, which follows the log.
    Kv,
}

impl HandlerSpec {
    /// True where a handler that is otherwise as this one gives its runs other settings or limits, at most: then what is
    /// under way and what waits is the same for both.
    pub fn differs_in_its_runs_alone(&self, other: &HandlerSpec) -> bool {
        let mut alike = other.clone();
        let Limits {
            deadline, memory_bytes, effects, effect_bytes, entry_bytes, log_lines, log_bytes, ..
        } = self.limits;
        alike.settings = self.settings.clone();
        alike.instance = self.instance;
        alike.http = self.http;
        alike.limits = Limits {
            deadline,
            memory_bytes,
            effects,
            effect_bytes,
            entry_bytes,
            log_lines,
            log_bytes,
            ..alike.limits
        };
        alike == *self
    }

    /// A handler of these subjects of the log with every default.
    pub fn new(name: HandlerName, on: Vec<Pattern>) -> HandlerSpec {
        HandlerSpec {
            name,
            stream: None,
            on,
            request: Vec::new(),
            live: Vec::new(),
            dedupe: DEFAULT_DEDUPE,
            dedupe_events: false,
            key: Vec::new(),
            partitions: NonZeroU32::MIN,
            concurrency: DEFAULT_CONCURRENCY,
            retry: RetryPolicy::default(),
            on_exhausted: OnExhausted::default(),
            outage: OutagePolicy::default(),
            start: Start::default(),
            instance: Instance::default(),
            limits: Limits::default(),
            grants: Grants::default(),
            http: HttpLimits::default(),
            aggregate: None,
            outbox: Outbox::default(),
            requires: BTreeSet::new(),
            publish: None,
            settings: BTreeMap::new(),
        }
    }
}

/// How long a request is known by its id unless its handler's manifest says otherwise: as long as JetStream
/// knows a publisher's.
pub const DEFAULT_DEDUPE: Duration = Duration::from_secs(120);

/// How many events of a handler are under way at once unless its manifest says otherwise.
pub const DEFAULT_CONCURRENCY: NonZeroU32 = match NonZeroU32::new(1024) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grant_leads_elsewhere() {
        let patterns = |text: &str| vec![text.parse().unwrap()];
        let (emit, publish, live) = (patterns("a.>"), patterns("b.*"), patterns("c.x"));
        let grants = Grants { emit, publish, live, ..Grants::default() };
        assert_eq!(grants.reach("a.b.c"), Some(Reach::Log));
        assert_eq!(grants.reach("b.c"), Some(Reach::Outside(Audience::Stream)));
        assert_eq!(grants.reach("c.x"), Some(Reach::Outside(Audience::Live)));
        assert_eq!((grants.reach("b.c.d"), grants.reach("c.y")), (None, None));
        assert!(
            grants.leave_the_log() && !Grants { emit: patterns("a"), ..Grants::default() }.leave_the_log()
        );
    }
}
