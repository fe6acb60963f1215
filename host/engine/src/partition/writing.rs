//! Writing: what came of an event goes to the committer, and when it is durable, the event is closed.

use std::collections::BTreeMap;

use bytes::Bytes;
use waxwing_event::{Effects, Emit, Failure, Outcome, Position, outcome::FailureKind};

use super::{
    active::{Active, Ending, Writing, WrittenState},
    runs::RunId,
    serving::{Serving, Signal, Step},
};
use crate::{
    cache::Known,
    committer::Work,
    entry::{DeadLetter, Mark, ParkedEvent, aggregate, dead, mark::told, parked},
    gauges::Gauges,
    plan::{self, Cause, Changes},
    policy,
    port::log::{CommitError, Committed, MAX_HEADER_BYTES, NewEntry, ReadError},
    timers,
};

/// The most inputs without an entry of their own of which one entry tells.
const MAX_TOLD: usize = 256;

impl Serving<'_> {
    /// Commits effects, unless the state that the run has seen or writes is another run's by now.
    pub(super) fn commit(&mut self, id: RunId, mut effects: Effects) -> Step {
        let max_bytes = self.cx.log.max_entry_bytes();
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        let view = active.view.clone();
        let shown = active.recorded.is_some().then(|| effects.clone());
        if let Some(visit) = &mut active.visit
            && let Err(failure) = visit.take_reply(effects.reply.take(), max_bytes)
        {
            return self.fail_visit(id, failure);
        }
        if active.input_position().is_some_and(|input| self.cx.withheld.covers(input)) {
            active.withheld = effects.withhold();
        }
        let nothing_to_do = effects.is_empty() && !active.must_write();
        let is_query = nothing_to_do && active.visit.is_some();
        let read = view.as_ref().map(|view| view.keys_read()).unwrap_or_default();
        let slots: Vec<String> =
            effects.timers.keys().chain(&active.timer).map(|id| timers::slot(id)).collect();
        let touched = read.iter().chain(effects.state.keys()).chain(&slots);
        // What another is writing, even one without effects may have seen in part.
        if let Some(key) = self.claims.held_by_another(id, touched).cloned() {
            self.wait_for(id, key);
            return Step::Continue(());
        }
        let is_current = view.as_ref().is_none_or(|view| view.is_current());
        if let Some(effects) = shown.filter(|_| is_current) {
            self.run_shadow(id, Outcome::Done(effects));
        }
        match view {
            view if is_query => self.finish_query(id, view.as_deref()),
            Some(view) if !view.is_current() => {
                self.invoke(id);
                Step::Continue(())
            }
            _ if nothing_to_do => self.finish(id, None),
            _ => self.write_effects(id, effects),
        }
    }

    /// Lets a run wait for a state key; it holds none itself meanwhile, so that no two wait for each other.
    pub(super) fn wait_for(&mut self, id: RunId, key: String) {
        self.release_claims(id);
        if !self.claims.wait(id, &key) {
            self.invoke(id);
        }
    }

    fn write_effects(&mut self, id: RunId, mut effects: Effects) -> Step {
        // One moment for all that the run leaves.
        let now = self.cx.clock.now();
        let timers = match self.timer_writes(id, std::mem::take(&mut effects.timers), now) {
            Ok(timers) => timers,
            Err(failure) => return self.give_up(id, failure),
        };
        let module = self.module_of(id);
        let changes =
            plan::changes(effects, module, |key| self.cache.known(key), |slot| self.cache.current(slot));
        let changes = Changes { timers, ..changes };
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        let (event, was_parked) =
            (active.event().cloned(), active.parked.is_some().then(|| active.position()));
        let (seed, seen) = active.visit.as_ref().map_or((None, None), |visit| {
            (Some(visit.seed.clone()), visit.id.clone().zip(visit.reply.clone()))
        });
        let (handled, span) = (active.says_that_it_was_handled().cloned(), active.span);
        let Some(event) = event else { return Step::Continue(()) };
        if changes.is_empty() && was_parked.is_none() && seen.is_none() && handled.is_none() {
            return self.finish(id, None);
        }
        let state: Vec<_> = changes.state.iter().map(WrittenState::of).collect();
        let emitted = changes.emits.iter().map(|emit| emit.subject.clone()).collect();
        let (timers, appended) = (changes.timers.clone(), appended(&changes.emits));
        let slots: Vec<String> = timers.iter().map(|write| timers::slot(write.id())).collect();
        let replaced = state.iter().map(|written| &written.key).chain(&slots);
        let Some(mark) = self.mark(id, replaced.map(String::as_str)) else {
            return Step::Continue(());
        };
        let wrote = self.cx.observe.asks_what_was_written().then(|| Box::new(changes.in_full()));
        let cause = Cause { event: &event, seed: seed.as_deref(), span: span.as_ref() };
        let mut entries = self.cx.planner.effects(cause, changes, &mark, now);
        // What no entry carries is not told.
        let also = if entries.is_empty() { Vec::new() } else { mark.also.clone() };
        let is_marked = was_parked.is_some() || !entries.is_empty();
        if let Some((request_id, seen)) = seen {
            // In front: state entries are the last of a commit.
            entries.insert(0, self.cx.planner.seen(&request_id, &seen, self.cx.spec.dedupe));
        }
        let said = handled.as_deref().and_then(|slot| self.cx.planner.handled(slot, self.cx.spec.dedupe));
        entries.splice(0..0, said);
        let may_conflict = self.make_sure(&mut entries, &mark);
        if let Some(failure) = self.oversize(&entries) {
            return self.give_up(id, failure);
        }
        if let Some(position) = was_parked {
            let index = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            entries.insert(0, self.cx.planner.parked_no_more(position, &mark, index));
        }
        for key in
            state.iter().map(|written| &written.key).chain(&slots).chain(appended.keys()).chain(&handled)
        {
            self.claim(id, key.clone());
        }
        let writing = Writing {
            appended,
            handled,
            is_marked,
            timers,
            may_conflict,
            wrote,
            ..Writing::new(Ending::Done(emitted), state, also, self.seen)
        };
        self.submit(id, entries, writing);
        Step::Continue(())
    }

    /// Where other partitions write the handler's state, too: an entry more where no other will stay and has room for
    /// the fence. True where the commit may be refused because another was faster.
    fn make_sure(&self, entries: &mut Vec<NewEntry>, mark: &Mark) -> bool {
        if self.cx.share.partitions.is_one() {
            return false;
        }
        if !entries.is_empty() && !entries.iter().any(|entry| entry.expect.is_none() && !entry.rollup) {
            let index = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            entries.insert(0, self.cx.planner.handled_by(self.cx.share.partition, mark, index));
        }
        true
    }

    /// A commit was refused: another partition has written what its run expected, or this host has lost the lease.
    pub(super) fn on_refused(&mut self, id: RunId, why: String) -> Step {
        let writing = self.runs.get_mut(id).and_then(|active| active.writing.as_ref());
        if !writing.is_some_and(|writing| writing.may_conflict) {
            return Step::Break(CommitError::Refused(why).to_string());
        }
        let (log, signals) = (self.cx.log.clone(), self.signals.clone());
        let (subject, fence) = (self.held.subject.clone(), self.held.fence);
        tokio::spawn(async move {
            let last = log.last(&subject).await;
            let owns = last.map(|last| last.is_some_and(|entry| entry.position == fence));
            // A failed send means that serving has ended.
            let _ = signals.send(Signal::StillOwns(id, owns));
        });
        Step::Continue(())
    }

    /// A run whose state another partition has written meanwhile runs again, on what is there now.
    pub(super) fn on_looked_whether_owned(&mut self, id: RunId, owns: Result<bool, ReadError>) -> Step {
        match owns {
            Ok(true) => {}
            Ok(false) => return Step::Break("another host has the lease".to_owned()),
            Err(error) => return Step::Break(error.to_string()),
        }
        Gauges::count(&self.cx.gauges.conflicts);
        if let Some(active) = self.runs.get_mut(id) {
            active.writing = None;
            // What it has read is read anew.
            active.view = None;
        }
        self.release_claims(id);
        let known_by = self.runs.get_mut(id).and_then(|active| active.visit.as_ref()?.id.clone());
        match known_by {
            // Another of the same id may have been handled in another partition.
            Some(request_id) => self.look_up(id, &request_id),
            None => self.invoke(id),
        }
        Step::Continue(())
    }

    /// What a run did can never be written.
    fn give_up(&mut self, id: RunId, failure: Failure) -> Step {
        self.count_failed(id, &failure);
        if matches!(id, RunId::Visit(_)) {
            return self.fail_visit(id, failure);
        }
        self.write_dead_letter(id, failure);
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

    pub(super) fn write_dead_letter(&mut self, id: RunId, failure: Failure) {
        let slot = self.timer_slot(id);
        let Some(mark) = self.mark(id, slot.as_deref().into_iter()) else { return };
        let (cx, module) = (self.cx, self.module_of(id));
        let Some(active) = self.runs.get_mut(id) else { return };
        let (key, position, was_parked) = (active.key().cloned(), active.position(), active.parked.is_some());
        let timer = active.timer.clone();
        let (original, attempts) = (active.original(&cx.spec), active.attempt);
        let mut about = dead::About::new(original, &failure, attempts, module, cx.clock.now());
        about.holds_key = policy::holds_key(cx.spec.on_exhausted, key.is_some());
        let holds = key.filter(|_| about.holds_key);
        let payload = active.input.entry.payload.clone();
        let letter = DeadLetter { about, payload };
        let mut entries = vec![cx.planner.dead_letter(letter, &mark, cx.log.max_entry_bytes())];
        match timer {
            _ if was_parked => entries.push(cx.planner.parked_no_more(position, &mark, 1)),
            Some(timer) => entries.push(cx.planner.timer_no_more(&timer, &mark, 1)),
            None => {}
        }
        let end = Ending::Dead { failure, holds };
        self.submit(id, entries, Writing::new(end, Vec::new(), mark.also, self.seen));
    }

    /// Writes that an event waits.
    pub(super) fn write_parked(&mut self, id: RunId, about: parked::About, failure: Option<Failure>) {
        let slot = self.timer_slot(id);
        let Some(mark) = self.mark(id, slot.as_deref().into_iter()) else { return };
        let Some(active) = self.runs.get_mut(id) else { return };
        let payload = active.input.entry.payload.clone();
        let timer = active.timer.clone().filter(|_| active.parked.is_none());
        let end = Ending::Parked { failure, attempts: about.attempts, due: about.due };
        let parked = ParkedEvent { about, payload };
        let mut entries = vec![self.cx.planner.parked(parked, &mark, self.cx.log.max_entry_bytes())];
        entries.extend(timer.map(|timer| self.cx.planner.timer_no_more(&timer, &mark, 1)));
        self.submit(id, entries, Writing::new(end, Vec::new(), mark.also, self.seen));
    }

    /// The timer whose event it is, as its entry is known.
    fn timer_slot(&mut self, id: RunId) -> Option<String> {
        self.runs.get_mut(id)?.timer.as_deref().map(timers::slot)
    }

    /// The mark of an event's entries, which also tells what would otherwise be told nowhere.
    fn mark<'k>(&mut self, id: RunId, replaced: impl Iterator<Item = &'k str>) -> Option<Mark> {
        let active = self.runs.get_mut(id)?;
        let (position, input) = (active.position(), active.marked());
        let version = active.program.as_ref().and_then(|program| program.version);
        let window = &self.runs.window;
        let watermark = window.watermark();
        let mut also: Vec<Position> = window.unrecorded(MAX_TOLD).collect();
        let parked = self.parking.get(position).map(|parked| &parked.told);
        let told = replaced.filter_map(|key| self.told_by_state.get(key)).chain(parked).flatten();
        also.extend(told.filter(|position| **position > watermark));
        also.sort_unstable();
        also.dedup();
        let (whose, share) = (self.cx.layout.named(&self.cx.spec.name), self.cx.share.clone());
        Some(Mark { whose, share, input, index: 0, watermark, also, version })
    }

    fn submit(&mut self, id: RunId, entries: Vec<NewEntry>, writing: Writing) {
        let may_conflict = writing.may_conflict;
        let timer = self.runs.get_mut(id).and_then(|active| {
            active.writing = Some(writing);
            active.timer.as_deref().map(timers::slot)
        });
        if let Some(slot) = timer {
            self.claim(id, slot);
        }
        let signals = self.signals.clone();
        let done = Box::new(move |end| drop(signals.send(Signal::Committed(id, end))));
        self.cx.committer.submit(Work { may_conflict, ..Work::under(&self.held, entries, done) });
    }

    pub(super) fn on_committed(&mut self, id: RunId, committed: Committed) -> Step {
        self.seen = self.seen.max(committed.last);
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        let input = active.marked();
        let Some(mut writing) = active.writing.take() else { return Step::Continue(()) };
        writing.ended(committed.last);
        self.runs.window.recorded(&writing.also);
        let first_state = committed.last.0.saturating_sub(writing.state.len() as u64);
        for (written, position) in writing.state.iter_mut().zip(first_state.saturating_add(1)..) {
            let WrittenState { key, value, snapshot } = written;
            let known = Known { value: value.take(), position: Position(position), snapshot: *snapshot };
            self.cache.written(key.clone(), known);
            self.told_by_state.insert(std::mem::take(key), told(&writing.also, input));
        }
        let events_end = first_state.saturating_sub(writing.timers.len() as u64);
        for (slot, behind) in std::mem::take(&mut writing.appended) {
            self.cache.written(slot, Known::at(Position(events_end.saturating_sub(behind))));
        }
        if let (Some(slot), Ending::Done(emitted)) = (writing.handled.take(), &writing.end) {
            let position = Position(events_end.saturating_sub(emitted.len() as u64));
            self.cache.written(slot, Known { value: Some(Bytes::new()), ..Known::at(position) });
        }
        if !writing.timers.is_empty() {
            let timers = std::mem::take(&mut writing.timers);
            let first = Position(events_end.saturating_add(1));
            self.on_timers_written(id, timers, first, &told(&writing.also, input));
        }
        self.finish(id, Some(writing))
    }

    /// The log will never take what this run did: the event becomes a dead letter instead.
    pub(super) fn on_invalid(&mut self, id: RunId, why: String) -> Step {
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        match active.writing.take().map(|writing| writing.end) {
            Some(Ending::Done(_)) => {
                self.release_claims(id);
                self.give_up(id, Failure::new(FailureKind::Effects, why))
            }
            Some(Ending::Dead { .. }) | None => {
                Step::Break(format!("the log does not take a dead letter: {why}"))
            }
            Some(Ending::Parked { .. }) => {
                Step::Break(format!("the log does not take a parked event: {why}"))
            }
        }
    }

    /// An event is closed, durably: the next of its key and those that wait for its state may go.
    fn finish(&mut self, id: RunId, writing: Option<Writing>) -> Step {
        if matches!(id, RunId::Visit(_)) {
            return self.end_visit(id, writing.as_ref());
        }
        self.count_ended(id, writing.as_ref().map(|writing| &writing.end));
        self.release_claims(id);
        let is_marked = writing.as_ref().is_some_and(|writing| writing.is_marked);
        let Some(active) = self.runs.close(id, is_marked) else { return Step::Continue(()) };
        let (events, timers) = active.withheld;
        Gauges::add(&self.cx.gauges.withheld_events, events);
        Gauges::add(&self.cx.gauges.withheld_timers, timers);
        self.under_way = self.under_way.saturating_sub(1);
        self.handled += 1;
        if self.health.outage().is_some() {
            self.health.ended(active.position(), self.cx.clock.now());
        }
        self.settle(&active, writing.as_ref());
        self.count(writing.as_ref());
        self.cx.observe.handled(&active.as_handled(&self.cx.spec.name, writing.as_ref()));
        self.start_ready()
    }

    /// Lets those go that waited for the event.
    fn settle(&mut self, active: &Active, writing: Option<&Writing>) {
        let input = active.position();
        match writing {
            Some(Writing { end: Ending::Parked { .. }, also, .. }) => {
                self.parking.written(input, told(also, active.marked()));
            }
            _ if active.parked.is_some() => drop(self.parking.remove(input)),
            _ => {}
        }
        if let Some(timer) = &active.timer
            && !matches!(writing, Some(Writing { end: Ending::Parked { .. }, .. }))
        {
            self.timers.end(timer, input);
        }
        match writing {
            Some(Writing { end: Ending::Dead { holds, .. }, last, .. }) => {
                self.on_dead(input, holds.as_ref(), *last);
            }
            _ => drop(self.decided.remove(&input)),
        }
        self.leave(active);
    }

    /// Lets the next of its key go.
    pub(super) fn leave(&mut self, active: &Active) {
        let Some(key) = active.key() else { return };
        if active.in_lane {
            let next = self.lanes.leave(key);
            self.parking.not_busy(key);
            next.into_iter().for_each(|next| self.put_ready(next));
        }
        self.release_lane(key);
        self.park_next(key);
    }

    fn count(&self, writing: Option<&Writing>) {
        let gauges = &self.cx.gauges;
        Gauges::count(&gauges.handled);
        match writing.map(|writing| &writing.end) {
            Some(Ending::Parked { .. }) => Gauges::count(&gauges.parkings),
            Some(Ending::Dead { failure, .. }) => {
                Gauges::count(&gauges.dead);
                if failure.kind == FailureKind::Parked {
                    Gauges::count(&gauges.refused);
                }
            }
            Some(Ending::Done(_)) | None => {}
        }
    }

    fn claim(&mut self, id: RunId, key: String) {
        if self.claims.take(id, &key)
            && let Some(active) = self.runs.get_mut(id)
        {
            active.claims.push(key);
        }
    }

    /// Hands each key on to the one who has waited longest for it, which runs again.
    pub(super) fn release_claims(&mut self, id: RunId) {
        let held = self.runs.get_mut(id).map(|active| std::mem::take(&mut active.claims));
        for key in held.into_iter().flatten() {
            let Some(next) = self.claims.release(&key) else { continue };
            if let Some(active) = self.runs.get_mut(next) {
                active.claims.push(key);
            }
            self.invoke(next);
        }
    }
}

/// The last event appended to each history, by the history's slot: how many events of the commit lie behind it.
fn appended(emits: &[Emit]) -> BTreeMap<String, u64> {
    let behind = emits.iter().rev().zip(0..);
    let mut appended = BTreeMap::new();
    for (id, behind) in behind.filter_map(|(emit, behind)| Some((emit.aggregate.as_ref()?, behind))) {
        appended.entry(aggregate::slot(id)).or_insert(behind);
    }
    appended
}
