//! An event under way.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use waxwing_event::{Digest, Event, Failure, HandlerName, HandlerSpec, Position, Subject};

use super::visits::Visit;
use crate::{
    entry::{Original, parked, seen},
    lane::Key,
    plan::{StateWrite, TimerWrite},
    port::observe::{Handled, HandledResult, Wrote},
    program::Program,
    recorded::Recorded,
    source::Input,
    trace::{self, Sampling, Span, TraceContext},
    view::RunView,
};

/// An event that is not yet handled.
pub(super) struct Active {
    pub(super) input: Box<Input>,
    /// Which attempt runs, from 1; or will run.
    pub(super) attempt: u32,
    /// What its entry tells, where it was parked.
    pub(super) parked: Option<parked::About>,
    /// The id of the timer that has fired, where it is a timer's event.
    pub(super) timer: Option<String>,
    /// What the event is called where its id tells whether it was handled ([`seen::slot`]).
    pub(super) dedupe: Option<String>,
    /// True where it was handled at another position.
    pub(super) is_duplicate: bool,
    /// True where that timer was cancelled meanwhile, or set anew.
    pub(super) is_cancelled: bool,
    /// Who visits, where it is a request or a live message.
    pub(super) visit: Option<Visit>,
    /// True where others of its key wait for it in a lane.
    pub(super) in_lane: bool,
    /// What runs it, once it has begun.
    pub(super) program: Option<Program>,
    /// What its run has read; none before the first run.
    pub(super) view: Option<Arc<RunView>>,
    /// What it has read, where a shadow is to read the same.
    pub(super) recorded: Option<Arc<Recorded>>,
    /// Time in the sandbox, all runs together.
    pub(super) elapsed: Duration,
    /// When it was taken up.
    since: Instant,
    /// For how long it has waited before it began.
    pub(super) queued: Option<Duration>,
    /// Where the event stood in a trace when it came, once that was asked.
    came: Option<Option<TraceContext>>,
    /// Its present attempt as a part of a trace.
    pub(super) span: Option<Span>,
    /// State keys that no other run may write until this one is through.
    pub(super) claims: Vec<String>,
    /// How many events and timers of its run were left out.
    pub(super) withheld: (usize, usize),
    /// What has been handed to the committer.
    pub(super) writing: Option<Writing>,
}

/// A commit under way.
pub(super) struct Writing {
    /// The last entry that it appends to each history, by the history's slot: counted back from the first of its timers
    /// or of its state.
    pub(super) appended: BTreeMap<String, u64>,
    /// The event that it says was handled, by its slot.
    pub(super) handled: Option<String>,
    /// False where no entry carries a mark.
    pub(super) is_marked: bool,
    /// True where it is refused if another partition was faster.
    pub(super) may_conflict: bool,
    /// Timers, in the order of their entries, which come before those of the state.
    pub(super) timers: Vec<TimerWrite>,
    /// Written keys with their values, in the order of their entries, which are the commit's last.
    pub(super) state: Vec<WrittenState>,
    /// How the matter ends with it.
    pub(super) end: Ending,
    /// What it writes, in full, where the observer asks for it.
    pub(super) wrote: Option<Box<Wrote>>,
    /// Other inputs of which the entries tell that they are handled.
    pub(super) also: Vec<Position>,
    /// The highest position known when it was handed over: its entries lie above.
    pub(super) after: Position,
    /// The last of its entries, once it is durable.
    pub(super) last: Position,
    /// When it was handed over.
    pub(super) since: Instant,
    /// For how long it was on its way, once it is durable.
    pub(super) elapsed: Option<Duration>,
}

impl Writing {
    pub(super) fn new(
        end: Ending,
        state: Vec<WrittenState>,
        also: Vec<Position>,
        after: Position,
    ) -> Writing {
        Writing {
            appended: BTreeMap::new(),
            handled: None,
            is_marked: true,
            may_conflict: false,
            timers: Vec::new(),
            state,
            end,
            wrote: None,
            also,
            after,
            last: Position::NONE,
            since: Instant::now(),
            elapsed: None,
        }
    }

    /// It is durable, and this is the last of its entries.
    pub(super) fn ended(&mut self, last: Position) {
        (self.last, self.elapsed) = (last, Some(self.since.elapsed()));
    }
}

/// A key that is written.
pub(super) struct WrittenState {
    pub(super) key: String,
    pub(super) value: Option<Bytes>,
    pub(super) snapshot: Option<Digest>,
}

impl WrittenState {
    pub(super) fn of(write: &StateWrite) -> WrittenState {
        let StateWrite { key, value, snapshot, .. } = write.clone();
        WrittenState { key, value, snapshot }
    }
}

/// What becomes of an event.
pub(super) enum Ending {
    /// It has had its effects; subjects of emitted events.
    Done(Vec<Subject>),
    /// It is a dead letter, which may hold its key.
    Dead { failure: Failure, holds: Option<Key> },
    /// It waits, after this failure or behind another.
    Parked { failure: Option<Failure>, attempts: u32, due: Timestamp },
}

impl Active {
    /// An event that was read from the log.
    pub(super) fn new(input: Box<Input>) -> Active {
        Active {
            input,
            attempt: 1,
            parked: None,
            timer: None,
            dedupe: None,
            is_duplicate: false,
            is_cancelled: false,
            visit: None,
            in_lane: false,
            program: None,
            view: None,
            recorded: None,
            elapsed: Duration::ZERO,
            since: Instant::now(),
            queued: None,
            came: None,
            span: None,
            claims: Vec::new(),
            withheld: (0, 0),
            writing: None,
        }
    }

    /// A parked event whose time has come.
    pub(super) fn unparked(mut input: Box<Input>, about: parked::About) -> Active {
        let attempt = about.attempts.saturating_add(1);
        if let Ok(event) = &mut input.event {
            Arc::make_mut(event).attempt = attempt;
        }
        Active { attempt, parked: Some(about), ..Active::new(input) }
    }

    /// Its id tells whether it was handled.
    pub(super) fn known_by_its_id(mut self) -> Active {
        self.dedupe = self.event().filter(|_| self.timer.is_none()).map(|event| seen::slot(event));
        self
    }

    /// The event of a timer that fires.
    pub(super) fn fired(input: Box<Input>, timer: String) -> Active {
        Active { timer: Some(timer), ..Active::new(input) }
    }

    /// Bytes that it holds in memory, about.
    pub(super) fn size_bytes(&self) -> usize {
        let entry = &self.input.entry;
        entry.payload.len() + entry.headers.size_bytes() + entry.subject.as_str().len()
    }

    /// A request or a live message.
    pub(super) fn visiting(input: Box<Input>, visit: Visit) -> Active {
        Active { visit: Some(visit), ..Active::new(input) }
    }

    /// It begins; once, however often it runs.
    pub(super) fn begin(&mut self) {
        self.queued = self.queued.or_else(|| Some(self.since.elapsed()));
    }

    /// Its present attempt becomes part of a trace: the event says so to its handler, and to whatever that asks or calls.
    pub(super) fn trace(&mut self, source: &str, sampling: Sampling) {
        let Ok(event) = &mut self.input.event else { return };
        let came = *self.came.get_or_insert_with(|| TraceContext::of(event));
        let span = Span::of_run(source, event, came, sampling);
        if self.span.replace(span) != Some(span) {
            let attributes = &mut Arc::make_mut(event).extensions;
            let stands = span.context.to_string();
            match attributes.iter_mut().find(|(name, _)| name == trace::ATTRIBUTE) {
                Some((_, value)) => *value = stands,
                None => attributes.push((trace::ATTRIBUTE.to_owned(), stands)),
            }
        }
    }

    pub(super) fn position(&self) -> Position {
        self.input.entry.position
    }

    /// The input of which its entries tell that it is handled: a timer's event is none.
    pub(super) fn marked(&self) -> Position {
        if self.timer.is_some() { Position::NONE } else { self.position() }
    }

    /// The input of the log whose event it is; none for the event of a timer, a request or a live message.
    pub(super) fn input_position(&self) -> Option<Position> {
        (self.timer.is_none() && self.visit.is_none()).then(|| self.position())
    }

    /// True where something is written though its run has no effect.
    pub(super) fn must_write(&self) -> bool {
        self.parked.is_some()
            || self.says_that_it_was_handled().is_some()
            || self.timer.is_some()
            || self.visit.as_ref().is_some_and(|visit| visit.id.is_some())
    }

    /// What its commit says was handled, by its slot.
    pub(super) fn says_that_it_was_handled(&self) -> Option<&String> {
        self.dedupe.as_ref().filter(|_| !self.is_duplicate)
    }

    pub(super) fn event(&self) -> Option<&Arc<Event>> {
        self.input.event.as_ref().ok()
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.input.key.as_ref()
    }

    /// Another attempt begins.
    pub(super) fn try_again(&mut self) {
        self.program = None;
        self.attempt = self.attempt.saturating_add(1);
        if let Ok(event) = &mut self.input.event {
            Arc::make_mut(event).attempt = self.attempt;
        }
    }

    /// The event as it came.
    pub(super) fn original(&self, spec: &HandlerSpec) -> Original {
        let mut original = Original::new(&spec.name, &self.input.entry, self.event().map(Arc::as_ref));
        original.stream = spec.stream.clone();
        original
    }

    /// What its entry tells when it is parked, after this failure of the present attempt or without one.
    pub(super) fn about_parked(
        &self,
        spec: &HandlerSpec,
        failure: Option<&Failure>,
        due: Timestamp,
        now: Timestamp,
    ) -> parked::About {
        let mut about = parked::About::untried(self.original(spec), now);
        if let Some(before) = &self.parked {
            about.since = before.since;
            about.attempts = before.attempts;
            about.failures.clone_from(&before.failures);
        }
        if let Some(failure) = failure {
            about.failed(self.attempt, failure, now);
        }
        about.due = due;
        about
    }

    /// What is told of it when it is handled.
    pub(super) fn as_handled<'a>(
        &'a self,
        handler: &'a HandlerName,
        writing: Option<&'a Writing>,
    ) -> Handled<'a> {
        let result = match writing {
            None => HandledResult::Done { emitted: &[], state_keys: 0 },
            Some(Writing { end: Ending::Done(emitted), state, .. }) => {
                HandledResult::Done { emitted, state_keys: state.len() }
            }
            Some(Writing { end: Ending::Dead { failure, .. }, .. }) => HandledResult::Dead(failure),
            Some(Writing { end: Ending::Parked { failure, attempts, due }, .. }) => {
                HandledResult::Parked { failure: failure.as_ref(), attempts: *attempts, due: *due }
            }
        };
        let event = self.event().map(Arc::as_ref);
        let wrote = writing.and_then(|writing| writing.wrote.as_deref());
        Handled {
            handler,
            position: self.position(),
            event,
            result,
            wrote,
            elapsed: self.elapsed,
            version: self.program.as_ref().and_then(|program| program.version),
            queued: self.queued,
            committing: writing.and_then(|writing| writing.elapsed),
            span: self.span,
        }
    }
}
