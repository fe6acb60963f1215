//! Serving: one task owns all bookkeeping of a partition while its lease holds.
//!
//! Source, sandbox and committer report to it over channels. It decides with [`policy`] and [`plan`], and it
//! acts. Anything unforeseen ends it: the lease is taken anew, which keeps late writes out, and the log tells
//! what has been handled.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::ControlFlow,
    sync::Arc,
};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::{Effects, Failure, Position, outcome::FailureKind};

use super::{
    Context,
    active::{Active, Writing},
    claims::Claims,
};
use crate::{
    cache::{Known, StateCache},
    committer::Work,
    entry::Mark,
    lane::Lanes,
    lease::Held,
    plan, policy,
    port::{
        invoke::{Report, Run},
        log::{CommitError, Committed, MAX_HEADER_BYTES, NewEntry},
    },
    progress::{Progress, Ticket},
    recovery::Place,
    source::{self, Arrival, Arrivals},
};

/// The most inputs without an entry of their own of which one entry tells.
const MAX_TOLD: usize = 256;

/// Signals taken at a time.
const SIGNALS: usize = 256;

/// How serving ended.
pub(super) enum End {
    /// It was asked to stop, and all that was under way is durable.
    Drained,
    /// It cannot go on as it is.
    Interrupted {
        /// For people.
        why: String,
        /// True where something was handled since it began.
        progressed: bool,
        /// The highest position that is known to be taken.
        seen: Position,
    },
}

/// What sandbox and committer report.
pub(super) enum Signal {
    Ran(Ticket, Report),
    Committed(Ticket, Result<Committed, CommitError>),
    Checkpointed(Result<Committed, CommitError>),
}

/// Why serving cannot go on.
pub(super) type Step = ControlFlow<String>;

/// A partition that is being served.
pub(super) struct Serving<'a> {
    pub(super) cx: &'a Context,
    pub(super) held: Held,
    cache: Arc<StateCache>,
    pub(super) progress: Progress<Active>,
    lanes: Lanes<Ticket>,
    /// Free to start, oldest first.
    ready: VecDeque<Ticket>,
    /// Started and not yet handled.
    under_way: usize,
    /// State keys that one run may write, and who waits for each.
    claims: Claims,
    /// For each state key, handled inputs above the watermark of which its current entry tells.
    pub(super) told_by_state: HashMap<String, Vec<Position>>,
    /// The highest position that is known to be taken.
    pub(super) seen: Position,
    /// Inputs handled since serving began.
    pub(super) handled: u64,
    /// Watermark and count at the last checkpoint.
    pub(super) checkpointed: (Position, u64),
    pub(super) checkpoint_under_way: bool,
    stopping: bool,
    /// Inputs handled before serving began that have not been read yet.
    pub(super) handled_before: BTreeSet<Position>,
    is_new: bool,
    pub(super) signals: mpsc::UnboundedSender<Signal>,
    inbox: mpsc::UnboundedReceiver<Signal>,
}

impl<'a> Serving<'a> {
    pub(super) fn new(cx: &'a Context, held: Held, place: Place) -> Serving<'a> {
        // Bounded by what is under way: each input has at most one signal on its way.
        let (signals, inbox) = mpsc::unbounded_channel();
        let cache = StateCache::new(cx.log.clone(), cx.layout.clone(), cx.spec.name.clone(), cx.cache_bytes);
        Serving {
            cx,
            seen: held.fence,
            held,
            cache: Arc::new(cache),
            progress: Progress::new(place.watermark),
            lanes: Lanes::default(),
            ready: VecDeque::new(),
            under_way: 0,
            claims: Claims::default(),
            told_by_state: place.told_by_state,
            handled: 0,
            checkpointed: (place.watermark, 0),
            checkpoint_under_way: false,
            stopping: false,
            handled_before: place.handled,
            is_new: place.is_new,
            signals,
            inbox,
        }
    }

    /// Serves until `stop` or until it cannot go on.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> End {
        match self.serve(stop).await {
            ControlFlow::Continue(()) => End::Drained,
            ControlFlow::Break(why) => {
                End::Interrupted { why, progressed: self.handled > 0, seen: self.seen }
            }
        }
    }

    async fn serve(&mut self, stop: &CancellationToken) -> Step {
        if self.is_new {
            self.save_checkpoint().await?;
        }
        let (mut arrivals, _source) = self.start_source();
        let mut signals = Vec::with_capacity(SIGNALS);
        let mut tick = self.cx.clock.sleep(self.cx.checkpoint_every);
        while !(self.stopping && self.under_way == 0) {
            let has_room = !self.stopping && self.progress.len() < self.window();
            tokio::select! {
                _ = self.inbox.recv_many(&mut signals, SIGNALS) => {
                    for signal in signals.drain(..) {
                        self.on_signal(signal)?;
                    }
                }
                batch = arrivals.recv(), if has_room => self.on_arrivals(batch)?,
                () = &mut tick => {
                    self.hand_over_checkpoint();
                    tick = self.cx.clock.sleep(self.cx.checkpoint_every);
                }
                () = stop.cancelled(), if !self.stopping => self.stopping = true,
            }
        }
        self.save_checkpoint().await
    }

    /// How many inputs may be between the watermark and the end of what was read.
    fn window(&self) -> usize {
        (self.cx.spec.concurrency.get() as usize).saturating_mul(2).max(64)
    }

    fn start_source(&self) -> (mpsc::Receiver<Arrivals>, AbortOnDropHandle<()>) {
        let (sender, receiver) = mpsc::channel(source::CHUNKS_AHEAD);
        let (log, spec) = (self.cx.log.clone(), self.cx.spec.clone());
        let (from, handled) = (self.progress.watermark().next(), self.handled_before.clone());
        let task = tokio::spawn(source::run(log, spec, from, handled, sender));
        (receiver, AbortOnDropHandle::new(task))
    }

    fn on_arrivals(&mut self, batch: Option<Arrivals>) -> Step {
        match batch {
            Some(Ok(arrivals)) => arrivals.into_iter().for_each(|arrival| self.arrive(arrival)),
            Some(Err(error)) => return Step::Break(error.to_string()),
            None => return Step::Break("the reader has ended".to_owned()),
        }
        self.start_ready()
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Handled(position) => {
                self.handled_before.remove(&position);
                self.progress.skip(position);
            }
            Arrival::Input(input) => {
                let (position, key) = (input.entry.position, input.key.clone());
                let ticket = self.progress.open(position, Active::new(input));
                self.ready.extend(match key {
                    Some(key) => self.lanes.enter(&key, ticket),
                    None => Some(ticket),
                });
            }
        }
    }

    fn start_ready(&mut self) -> Step {
        let limit = self.cx.spec.concurrency.get() as usize;
        while !self.stopping && self.under_way < limit {
            let Some(ticket) = self.ready.pop_front() else { break };
            self.under_way += 1;
            self.start(ticket)?;
        }
        Step::Continue(())
    }

    fn start(&mut self, ticket: Ticket) -> Step {
        let undecodable =
            self.progress.get_mut(ticket).and_then(|active| active.input.event.as_ref().err().cloned());
        match undecodable {
            Some(failure) => self.write_dead_letter(ticket, failure),
            None => self.invoke(ticket),
        }
        Step::Continue(())
    }

    fn invoke(&mut self, ticket: Ticket) {
        let view = self.cache.view();
        let Some(active) = self.progress.get_mut(ticket) else { return };
        let Some(event) = active.event().cloned() else { return };
        active.view = Some(view.clone());
        let signals = self.signals.clone();
        // A failed send means that serving has ended: nobody waits for this run any more.
        let reporter = Box::new(move |report| drop(signals.send(Signal::Ran(ticket, report))));
        self.cx.module.invoke(Run { event, state: view, reporter });
    }

    fn on_signal(&mut self, signal: Signal) -> Step {
        match signal {
            Signal::Ran(ticket, report) => self.on_report(ticket, report),
            Signal::Committed(ticket, Ok(committed)) => self.on_committed(ticket, committed),
            Signal::Committed(ticket, Err(CommitError::Invalid(why))) => self.on_invalid(ticket, why),
            Signal::Checkpointed(Ok(committed)) => {
                self.seen = self.seen.max(committed.last);
                self.checkpoint_under_way = false;
                Step::Continue(())
            }
            Signal::Committed(_, Err(error)) | Signal::Checkpointed(Err(error)) => {
                Step::Break(error.to_string())
            }
        }
    }

    fn on_report(&mut self, ticket: Ticket, report: Report) -> Step {
        if let Some(active) = self.progress.get_mut(ticket) {
            active.elapsed += report.elapsed;
        }
        match policy::verdict(report.outcome) {
            policy::Verdict::Commit(effects) if effects.is_empty() => self.finish(ticket, None),
            policy::Verdict::Commit(effects) => self.commit(ticket, effects),
            policy::Verdict::DeadLetter(failure) => {
                self.write_dead_letter(ticket, failure);
                Step::Continue(())
            }
            policy::Verdict::Again(failure) => Step::Break(failure.reason),
        }
    }

    /// Commits effects, unless the state that the run has seen or writes is another run's by now.
    fn commit(&mut self, ticket: Ticket, effects: Effects) -> Step {
        let Some(active) = self.progress.get_mut(ticket) else { return Step::Continue(()) };
        let view = active.view.clone();
        let read = view.as_ref().map(|view| view.keys_read()).unwrap_or_default();
        let touched = read.iter().chain(effects.state.keys());
        let foreign = self.claims.held_by_another(ticket, touched);
        if let Some(key) = foreign.cloned() {
            self.wait_for(ticket, key);
        } else if view.is_some_and(|view| !view.is_current()) {
            self.invoke(ticket);
        } else {
            return self.write_effects(ticket, effects);
        }
        Step::Continue(())
    }

    /// Lets a run wait for a state key; it holds none itself meanwhile, so that no two wait for each other.
    fn wait_for(&mut self, ticket: Ticket, key: String) {
        self.release_claims(ticket);
        if !self.claims.wait(ticket, &key) {
            self.invoke(ticket);
        }
    }

    fn write_effects(&mut self, ticket: Ticket, effects: Effects) -> Step {
        let (emits, writes) = plan::split(effects, |key| self.cache.known(key));
        if emits.is_empty() && writes.is_empty() {
            return self.finish(ticket, None);
        }
        let state: Vec<_> = writes.iter().map(|write| (write.key.clone(), write.value.clone())).collect();
        let emitted = emits.iter().map(|emit| emit.subject.clone()).collect();
        let Some(mark) = self.mark(ticket, state.iter().map(|(key, _)| key.as_str())) else {
            return Step::Continue(());
        };
        let Some(event) = self.progress.get_mut(ticket).and_then(|active| active.event().cloned()) else {
            return Step::Continue(());
        };
        let entries = self.cx.planner.effects(&event, emits, writes, &mark, self.cx.clock.now());
        if let Some(failure) = self.oversize(&entries) {
            self.write_dead_letter(ticket, failure);
            return Step::Continue(());
        }
        for (key, _) in &state {
            self.claim(ticket, key.clone());
        }
        let writing = Writing { state, emitted, failure: None, also: mark.also, after: self.seen };
        self.submit(ticket, entries, writing);
        Step::Continue(())
    }

    fn oversize(&self, entries: &[NewEntry]) -> Option<Failure> {
        let limit = self.cx.log.max_entry_bytes();
        let reason = entries.iter().find_map(|entry| {
            let (subject, headers) = (&entry.subject, entry.headers.size_bytes());
            let all = headers + entry.payload.len();
            if headers > MAX_HEADER_BYTES {
                Some(format!("`{subject}` has {headers} bytes of headers: the log takes {MAX_HEADER_BYTES}"))
            } else if all > limit {
                Some(format!("`{subject}` has {all} bytes: the log takes {limit}"))
            } else {
                None
            }
        });
        reason.map(|reason| Failure::new(FailureKind::Effects, reason))
    }

    fn write_dead_letter(&mut self, ticket: Ticket, failure: Failure) {
        let Some(mark) = self.mark(ticket, std::iter::empty()) else { return };
        let Some(active) = self.progress.get_mut(ticket) else { return };
        let cx = self.cx;
        let letter = active.dead_letter(&cx.spec.name, &failure, cx.module.digest(), cx.clock.now());
        let entry = cx.planner.dead_letter(letter, &mark, cx.log.max_entry_bytes());
        let writing = Writing {
            state: Vec::new(),
            emitted: Vec::new(),
            failure: Some(failure),
            also: mark.also,
            after: self.seen,
        };
        self.submit(ticket, vec![entry], writing);
    }

    /// The mark of an input's entries, which also tells what would otherwise be told nowhere.
    fn mark<'k>(&mut self, ticket: Ticket, replaced: impl Iterator<Item = &'k str>) -> Option<Mark> {
        let watermark = self.progress.watermark();
        let mut also: Vec<Position> = self.progress.unrecorded(MAX_TOLD).collect();
        for key in replaced {
            let told = self.told_by_state.get(key).into_iter().flatten();
            also.extend(told.filter(|position| **position > watermark));
        }
        also.sort_unstable();
        also.dedup();
        let input = self.progress.get_mut(ticket)?.position();
        let (handler, partition) = (self.cx.spec.name.clone(), self.cx.partition);
        Some(Mark { handler, partition, input, index: 0, watermark, also })
    }

    fn submit(&mut self, ticket: Ticket, entries: Vec<NewEntry>, writing: Writing) {
        if let Some(active) = self.progress.get_mut(ticket) {
            active.writing = Some(writing);
        }
        let signals = self.signals.clone();
        let done = Box::new(move |end| drop(signals.send(Signal::Committed(ticket, end))));
        self.cx.committer.submit(Work {
            entries,
            lease: self.held.subject.clone(),
            fence: self.held.fence,
            done,
        });
    }

    fn on_committed(&mut self, ticket: Ticket, committed: Committed) -> Step {
        self.seen = self.seen.max(committed.last);
        let Some(active) = self.progress.get_mut(ticket) else { return Step::Continue(()) };
        let input = active.position();
        let Some(mut writing) = active.writing.take() else { return Step::Continue(()) };
        self.progress.recorded(&writing.also);
        let first_state = committed.last.0.saturating_sub(writing.state.len() as u64);
        for ((key, value), position) in writing.state.iter_mut().zip(first_state.saturating_add(1)..) {
            let position = Position(position);
            self.cache.written(key.clone(), Known { value: value.take(), position });
            let told = writing.also.iter().copied().chain([input]).collect();
            self.told_by_state.insert(std::mem::take(key), told);
        }
        self.finish(ticket, Some(writing))
    }

    /// The log will never take what this run did: the event becomes a dead letter instead.
    fn on_invalid(&mut self, ticket: Ticket, why: String) -> Step {
        let Some(active) = self.progress.get_mut(ticket) else { return Step::Continue(()) };
        if active.writing.take().is_none_or(|writing| writing.failure.is_some()) {
            return Step::Break(format!("the log does not take a dead letter: {why}"));
        }
        self.release_claims(ticket);
        self.write_dead_letter(ticket, Failure::new(FailureKind::Effects, why));
        Step::Continue(())
    }

    /// An input is handled, durably: the next of its key and those that wait for its state may go.
    fn finish(&mut self, ticket: Ticket, writing: Option<Writing>) -> Step {
        self.release_claims(ticket);
        let Some(active) = self.progress.handled(ticket, writing.is_some()) else {
            return Step::Continue(());
        };
        self.under_way = self.under_way.saturating_sub(1);
        self.handled += 1;
        if let Some(key) = &active.input.key {
            self.ready.extend(self.lanes.leave(key));
        }
        self.cx.observe.handled(&active.as_handled(&self.cx.spec.name, writing.as_ref()));
        self.start_ready()
    }

    fn claim(&mut self, ticket: Ticket, key: String) {
        if self.claims.take(ticket, &key)
            && let Some(active) = self.progress.get_mut(ticket)
        {
            active.claims.push(key);
        }
    }

    /// Hands each key on to the one who has waited longest for it, which runs again.
    fn release_claims(&mut self, ticket: Ticket) {
        let held = self.progress.get_mut(ticket).map(|active| std::mem::take(&mut active.claims));
        for key in held.into_iter().flatten() {
            let Some(next) = self.claims.release(&key) else { continue };
            if let Some(active) = self.progress.get_mut(next) {
                active.claims.push(key);
            }
            self.invoke(next);
        }
    }
}
