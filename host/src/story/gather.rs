//! Entries of the log that belong to a story. They are taken in the order of the log: a cause stands before what it has
//! caused.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{DeadLetter, Layout, Mark, Original, parked, timer, tombstone, version::VersionNumber},
    port::log::Entry,
};
use waxwing_event::{Event, HandlerName, Position, Subject, decode, outcome::FailureKind};

/// An event of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Where its entry stands.
    pub position: Position,
    /// When the log stored it.
    pub time: Timestamp,
    /// The subject on which it was published; of one that goes elsewhere, where to.
    pub subject: Subject,
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Where it comes from.
    pub source: String,
    /// The id of what caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// What it is to the log.
    #[serde(flatten)]
    pub place: Place,
}

/// What an event of the story is to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "place", rename_all = "kebab-case")]
pub enum Place {
    /// It stands in the log.
    Log,
    /// It waits to go out of it.
    Outbox,
    /// It is refused outside.
    Refused,
    /// It is a timer's event, and waits for its time.
    Timer {
        /// The timer's id.
        #[serde(rename = "timerId")]
        id: String,
        /// When it fires.
        due: Timestamp,
    },
}

/// What a run was of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Of the event at this position of the log.
    Input(Position),
    /// Of the event of this id, which has no position there: a timer's, a request, one of another stream.
    Id(String),
}

/// A run of which the log tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Who ran.
    pub handler: HandlerName,
    /// The deployed version; none where none was deployed, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionNumber>,
    /// How it has ended so far.
    #[serde(flatten)]
    pub end: End,
    /// When what it has written was stored; none where it has written nothing that is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Timestamp>,
    /// True where it was parked before.
    pub waited: bool,
    /// State keys that it has written last; those that were written again since are not known any more.
    pub state: BTreeSet<String>,
    /// Timers that it has cancelled, or that have fired since.
    pub timers: BTreeSet<String>,
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum End {
    /// Its effects are in the log.
    Done,
    /// It was handled, and nothing is left of that: it had no effect, or all that it wrote was written again since.
    Handled,
    /// It is not known to be handled: it waits, runs, or had no effect a moment ago.
    Open,
    /// A dead letter.
    #[serde(rename_all = "camelCase")]
    Dead {
        /// The sort of failure.
        kind: FailureKind,
        /// What happened.
        reason: String,
        /// How often it was tried.
        attempts: u32,
        /// True where it was put away.
        is_archived: bool,
    },
    /// It waits for another attempt, or behind one of its key.
    Parked {
        /// How often it was tried.
        attempts: u32,
        /// When it may run.
        due: Timestamp,
        /// Why it failed last.
        reason: Option<String>,
    },
}

impl Run {
    /// One of which nothing is told but this.
    pub fn new(handler: HandlerName, end: End) -> Run {
        let (version, written, waited) = (None, None, false);
        Run { handler, version, end, written, waited, state: BTreeSet::new(), timers: BTreeSet::new() }
    }
}

/// Events by their places, with the runs that emitted them.
pub(super) type Events = BTreeMap<Position, (Told, Option<(HandlerName, Cause)>)>;

/// A story as it is gathered.
pub struct Gathering<'l> {
    layout: &'l Layout,
    correlation_id: String,
    /// Handlers of streams that the app does not own: their inputs are no positions of the log.
    foreign: BTreeSet<HandlerName>,
    events: Events,
    runs: BTreeMap<(HandlerName, Cause), Run>,
}

impl<'l> Gathering<'l> {
    /// Nothing yet of the story of this correlation id.
    pub fn new(layout: &'l Layout, correlation_id: &str, foreign: BTreeSet<HandlerName>) -> Gathering<'l> {
        let (events, runs) = Default::default();
        Gathering { layout, correlation_id: correlation_id.to_owned(), foreign, events, runs }
    }

    /// The correlation id, the events by their places with the runs that emitted them, and all runs.
    pub(super) fn into_parts(self) -> (String, Events, BTreeMap<(HandlerName, Cause), Run>) {
        (self.correlation_id, self.events, self.runs)
    }

    /// True where nothing has been found.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.runs.is_empty()
    }

    /// Takes an entry as [`Gathering::take`] does; always true.
    pub(super) fn takes(&mut self, entry: &Entry) -> bool {
        self.take(entry);
        true
    }

    /// Takes an entry, if it belongs to the story.
    pub fn take(&mut self, entry: &Entry) {
        if self.layout.is_of_another_generation(&entry.subject) {
            return;
        }
        let is_gone = tombstone::is(entry);
        match self.layout.family(&entry.subject) {
            None if entry.subject.as_str().starts_with("wx.") => {}
            None => self.take_event(entry, entry.subject.clone(), Place::Log),
            Some(("outbox" | "refused", _)) if is_gone => {}
            Some((family @ ("outbox" | "refused"), _)) => self.take_outgoing(entry, family == "refused"),
            Some(("timer", name)) if !is_gone => {
                let id = self.layout.timer_id(&name.handler, &entry.subject).unwrap_or_default();
                if let Ok(timer::About { due, .. }) = timer::About::read(entry) {
                    self.take_event(entry, entry.subject.clone(), Place::Timer { id, due });
                }
            }
            Some(("timer", name)) => {
                let id = self.layout.timer_id(&name.handler, &entry.subject);
                if let Some(run) = self.run_of(entry) {
                    run.timers.extend(id);
                }
            }
            Some((family @ ("dead" | "archive"), name)) if !is_gone => {
                self.take_dead(entry, name.handler, family == "archive");
            }
            Some(("parked", name)) if !is_gone => self.take_parked(entry, name.handler),
            Some((family @ ("dead" | "parked"), _)) => {
                if let Some(run) = self.run_of(entry) {
                    run.waited |= family == "parked";
                }
            }
            Some(("state", name)) => {
                let key = self.layout.state_key(&name.handler, &entry.subject);
                if let Some(run) = self.run_of(entry) {
                    run.state.extend(key);
                }
            }
            Some(("handled", _)) => drop(self.run_of(entry)),
            Some(_) => {}
        }
    }

    fn take_outgoing(&mut self, entry: &Entry, is_refused: bool) {
        let to = entry.headers.get(waxwing_engine::entry::outbox::TO_HEADER);
        let to = to.and_then(|to| to.split_once(' ')?.1.parse().ok());
        let place = if is_refused { Place::Refused } else { Place::Outbox };
        self.take_event(entry, to.unwrap_or_else(|| entry.subject.clone()), place);
    }

    fn take_event(&mut self, entry: &Entry, subject: Subject, place: Place) {
        let Entry { position, headers, payload, time, .. } = entry;
        let Ok(event) = decode::event(&subject, *position, headers, payload) else { return };
        if event.correlation_id != self.correlation_id {
            return;
        }
        let by = self.emitted_by(&event, entry);
        if let Some((handler, cause)) = by.clone() {
            let version = Mark::of(&entry.headers).and_then(|mark| mark.version);
            self.run((handler, cause), *time).version = version;
        }
        let Event { id, event_type, source, causation_id, .. } = event;
        let told =
            Told { position: *position, time: *time, subject, id, event_type, source, causation_id, place };
        self.events.insert(*position, (told, by));
    }

    /// Whose run emitted it; none for one that came from elsewhere.
    fn emitted_by(&self, event: &Event, entry: &Entry) -> Option<(HandlerName, Cause)> {
        let mark = Mark::of(&entry.headers)?;
        let handler = mark.whose.handler;
        if event.source != self.layout.source(&handler) {
            return None;
        }
        let cause = match mark.input {
            input if input != Position::NONE && !self.foreign.contains(&handler) => Cause::Input(input),
            _ => Cause::Id(event.causation_id.clone()?),
        };
        Some((handler, cause))
    }

    /// The run that wrote an entry of the host's own, if it is one of the story.
    fn run_of(&mut self, entry: &Entry) -> Option<&mut Run> {
        let mark = Mark::of(&entry.headers)?;
        let (handler, input) = (mark.whose.handler, mark.input);
        if self.foreign.contains(&handler) || !self.events.contains_key(&input) {
            return None;
        }
        let run = self.run((handler, Cause::Input(input)), entry.time);
        run.version = run.version.or(mark.version);
        Some(run)
    }

    fn run(&mut self, of: (HandlerName, Cause), written: Timestamp) -> &mut Run {
        let handler = of.0.clone();
        let run = self.runs.entry(of).or_insert_with(|| Run::new(handler, End::Done));
        run.end = End::Done;
        run.written = run.written.or(Some(written));
        run
    }

    fn take_dead(&mut self, entry: &Entry, handler: HandlerName, is_archived: bool) {
        let Ok(DeadLetter { about, .. }) = DeadLetter::read(entry.clone()) else { return };
        let Some(cause) = self.cause(&about.original) else { return };
        let run = self.run((handler, cause), entry.time);
        let (kind, reason, attempts) = (about.kind, about.reason, about.attempts);
        run.end = End::Dead { kind, reason, attempts, is_archived };
    }

    fn take_parked(&mut self, entry: &Entry, handler: HandlerName) {
        let Ok(about) = parked::About::read(entry) else { return };
        let Some(cause) = self.cause(&about.original) else { return };
        let run = self.run((handler, cause), entry.time);
        let reason = about.failures.last().map(|failed| failed.reason.clone());
        run.end = End::Parked { attempts: about.attempts, due: about.due, reason };
    }

    fn cause(&self, original: &Original) -> Option<Cause> {
        let of_log = original.stream.is_none().then_some(original.position);
        if let Some(position) = of_log.filter(|position| self.events.contains_key(position)) {
            return Some(Cause::Input(position));
        }
        let named = |wanted: &str| {
            let mut pairs = original.headers.iter();
            pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
        };
        // As it was written: ids of events are seldom such that they must be encoded.
        let is_of_story = named("ce-correlationid").or(named("ce-id")) == Some(&self.correlation_id);
        original.event_id.clone().filter(|_| is_of_story).map(Cause::Id)
    }
}
