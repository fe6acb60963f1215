//! Visits: requests and live messages, which run beside the log's events.
//!
//! A visit takes its turn among those of its key, but it does not wait for what is parked: whoever asks does
//! not wait for minutes. It is tried again at once or not at all, and it says nothing of the handler's health.
//! The answer to a request with an id is written in the commit of its effects; others of the same id wait for
//! that answer, or find it in the log.

use uuid::Uuid;
use waxwing_event::{Failure, Position, Reply, outcome::FailureKind};

use super::{
    active::{Active, Ending, Writing},
    runs::RunId,
    serving::{Serving, Signal, Step},
};
use crate::{
    answer,
    door::{Asker, Visitor},
    entry::{
        EntryError,
        seen::{self, MAX_HEADER_BYTES, Seen},
    },
    gauges::Gauges,
    lane::Key,
    policy,
    port::{
        log::{Entry, ReadError},
        observe::{VisitResult, Visited, Wrote},
        requests::{Answer, Kind},
    },
    source::{self, Input},
    view::RunView,
};

/// How many ids are tried for one of the partition: of 256, one belongs to it.
const IDS_TRIED: usize = 8 * 256;

/// What is known of a visit beside its event.
pub(super) struct Visit {
    pub(super) kind: Kind,
    /// The id by which others are known to be the same.
    pub(super) id: Option<String>,
    /// What the ids of its events are made of: the same for the same request, if it has an id.
    pub(super) seed: String,
    /// What its run has replied.
    pub(super) reply: Option<Seen>,
    /// Who waits: several where it came several times.
    askers: Vec<Asker>,
}

/// The answer to a request that may have been handled before.
pub(super) type Looked = Result<Option<Seen>, LookError>;

/// Why it could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Entry(#[from] EntryError),
}

/// How a visit ends without effects.
enum Turned {
    Known(Seen),
    Refused(&'static str),
    Failed(Failure),
}

impl Visit {
    /// Takes the reply of its run, unless it is larger than an answer may be.
    pub(super) fn take_reply(&mut self, reply: Option<Reply>, max_bytes: usize) -> Result<(), Failure> {
        let reply = answer::of_reply(reply);
        let (bytes, headers) = (reply.size_bytes(), reply.headers.size_bytes());
        if bytes > max_bytes || headers > MAX_HEADER_BYTES {
            let reason = format!(
                "the reply has {bytes} bytes, {headers} of them headers: {max_bytes} and {MAX_HEADER_BYTES} are \
                 allowed"
            );
            return Err(Failure::new(FailureKind::Effects, reason));
        }
        self.reply = Some(reply);
        Ok(())
    }

    fn settle(self, answer: &Answer) {
        for asker in self.askers {
            asker.settle(answer);
        }
    }
}

impl Serving<'_> {
    /// Takes up a visitor: it goes, waits in its lane, or for another that is the same.
    pub(super) fn on_visitor(&mut self, visitor: Visitor) {
        let Visitor { kind, subject, headers, payload, id, mut asker } = visitor;
        let same = id.as_ref().and_then(|id| self.by_id.get(id).copied());
        if let Some(visit) = same.and_then(|run| self.runs.get_mut(run)?.visit.as_mut()) {
            asker.join();
            return visit.askers.push(asker);
        }
        let entry = Entry { position: Position::NONE, subject, headers, payload, time: self.cx.clock.now() };
        let (fresh, mut input) = self.named(entry);
        if let Some(Err(why)) = id.as_deref().map(seen::check_id) {
            input.event = Err(Failure::new(FailureKind::Reject, why));
        }
        if !self.is_own(&input.entry) {
            // Into how many partitions the handler is divided, its host did not know yet.
            return match kind {
                Kind::Live => drop(asker),
                Kind::Request => asker.settle(&Answer::unowned(&self.cx.spec.name)),
            };
        }
        let key = input.key.clone();
        let seed = id.clone().unwrap_or(fresh);
        let visit = Visit { kind, id: id.clone(), seed, reply: None, askers: vec![asker] };
        let run = self.runs.open_visit(Active::visiting(Box::new(input), visit));
        if let Some(id) = id {
            self.by_id.insert(id, run);
        }
        match key {
            Some(key) => self.enter_visit(run, &key),
            None => self.put_ready(run),
        }
    }

    /// What came, with the id that it has where it brings none. Where its key is made of that, the id is one that belongs to
    /// this partition, and so does what the run leaves.
    fn named(&self, entry: Entry) -> (String, Input) {
        let mut named = {
            let fresh = Uuid::new_v4().to_string();
            let input = source::message(entry.clone(), &self.cx.spec, &fresh);
            (fresh, input)
        };
        let has = |input: &Input| self.cx.share.has(input.key.as_deref(), Position::NONE);
        for _ in 0..IDS_TRIED {
            if named.1.key.is_none() || has(&named.1) || !self.is_own(&entry) {
                break;
            }
            named.0 = Uuid::new_v4().to_string();
            named.1 = source::message(entry.clone(), &self.cx.spec, &named.0);
        }
        named
    }

    /// Whether it is of this partition, by what hosts that pass it on see of it.
    fn is_own(&self, Entry { subject, headers, payload, .. }: &Entry) -> bool {
        let share = &self.cx.share;
        share.partitions.is_one() || {
            let key = source::key_of_message(subject, headers, payload, &self.cx.spec);
            share.has(key.as_deref(), Position::NONE)
        }
    }

    /// A visit waits for those of its key that run, not for those that are parked.
    fn enter_visit(&mut self, id: RunId, key: &Key) {
        if self.parking.has(key) || self.paused || self.health.outage().is_some() {
            return self.put_ready(id);
        }
        if let Some(active) = self.runs.get_mut(id) {
            active.in_lane = true;
        }
        if let Some(first) = self.lanes.enter(key, id) {
            self.put_ready(first);
        }
    }

    /// The lane in which it waited is needed for parked events.
    pub(super) fn leave_lane(&mut self, id: RunId) {
        if let Some(active) = self.runs.get_mut(id) {
            active.in_lane = false;
        }
        self.put_ready(id);
    }

    /// Starts a visit, after a look at whether it was handled before.
    pub(super) fn start_visit(&mut self, id: RunId) {
        let paused = self.paused;
        let Some(active) = self.runs.get_mut(id) else { return };
        let undecodable = active.input.event.as_ref().err().cloned();
        let Some(visit) = &mut active.visit else { return };
        visit.askers.iter_mut().for_each(Asker::begin);
        let request_id = visit.id.clone();
        if let Some(failure) = undecodable {
            return self.turn_away(id, Turned::Failed(failure));
        }
        if paused {
            return self.turn_away(id, Turned::Refused("the handler is paused: ask again later"));
        }
        match request_id {
            Some(request_id) => self.look_up(id, &request_id),
            None => self.invoke(id),
        }
    }

    pub(super) fn look_up(&mut self, id: RunId, request_id: &str) {
        let (log, signals) = (self.cx.log.clone(), self.signals.clone());
        let subject = self.cx.layout.seen(&self.cx.spec.name, request_id);
        tokio::spawn(async move {
            let looked = match log.last(&subject).await {
                Ok(entry) => entry.map(Seen::read).transpose().map_err(LookError::from),
                Err(error) => Err(error.into()),
            };
            // A failed send means that serving has ended.
            let _ = signals.send(Signal::Looked(id, looked));
        });
    }

    pub(super) fn on_looked(&mut self, id: RunId, looked: Looked) -> Step {
        match looked {
            Ok(None) => self.invoke(id),
            Ok(Some(seen)) => self.turn_away(id, Turned::Known(seen)),
            Err(error) => {
                let reason = format!("whether the request was handled before is not known: {error}");
                self.turn_away(id, Turned::Failed(Failure::new(FailureKind::Unavailable, reason)));
            }
        }
        self.start_ready()
    }

    /// An attempt of a visit has failed.
    pub(super) fn on_visit_failed(&mut self, id: RunId, failure: Failure) -> Step {
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        let is_request = active.visit.as_ref().is_some_and(|visit| visit.kind == Kind::Request);
        if is_request && policy::tries_request_again(&self.cx.spec.retry, active.attempt, &failure) {
            active.try_again();
            self.release_claims(id);
            self.invoke(id);
            return Step::Continue(());
        }
        self.fail_visit(id, failure)
    }

    /// Ends a visit that has nothing to write. No commit is refused where this host is the owner no more, so only
    /// a host answers that surely is. Nobody waits for an answer to a live message.
    pub(super) fn finish_query(&mut self, id: RunId, view: Option<&RunView>) -> Step {
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        if active.visit.as_ref().is_some_and(|visit| visit.kind == Kind::Live) {
            return self.end_visit(id, None);
        }
        if view.is_some_and(|view| !view.is_current()) {
            // An answer is made of what was true together, at one moment.
            self.invoke(id);
            return Step::Continue(());
        }
        if !self.cx.living.has_been_sure(self.held.since) {
            // Another host may have had the partition meanwhile, and what is in memory may be old.
            return Step::Break("the host did not count as living for a while".to_owned());
        }
        if !self.cx.living.is_sure(self.cx.clock.now()) {
            self.turn_away(
                id,
                Turned::Refused("the host is not sure that it still has the handler: ask again"),
            );
            return self.start_ready();
        }
        self.end_visit(id, None)
    }

    /// Ends a visit that has failed for good, or that did what cannot be written.
    pub(super) fn fail_visit(&mut self, id: RunId, failure: Failure) -> Step {
        self.turn_away(id, Turned::Failed(failure));
        self.start_ready()
    }

    /// Ends a visit that has written nothing.
    fn turn_away(&mut self, id: RunId, turned: Turned) {
        let Some((active, visit)) = self.close_visit(id) else { return };
        let (answer, result) = match &turned {
            Turned::Known(seen) => (Answer::from(seen.clone()), VisitResult::Known),
            Turned::Refused(why) => (answer::refused(Answer::UNAVAILABLE, why), VisitResult::Refused(why)),
            Turned::Failed(failure) => (answer::of_failure(failure), VisitResult::Failed(failure)),
        };
        self.tell_visited(&active, visit.kind, (result, None));
        match (visit.kind, turned) {
            // Not handled is what shed means.
            (Kind::Live, Turned::Refused(_)) => drop(visit),
            _ => visit.settle(&answer),
        }
    }

    /// Ends a visit whose effects are durable, or that had none.
    pub(super) fn end_visit(&mut self, id: RunId, writing: Option<&Writing>) -> Step {
        self.count_ended(id, writing.map(|writing| &writing.end));
        let Some((active, mut visit)) = self.close_visit(id) else { return Step::Continue(()) };
        let reply = visit.reply.take().unwrap_or_else(|| answer::of_reply(None));
        let (emitted, state_keys) = match writing {
            Some(Writing { end: Ending::Done(emitted), state, .. }) => (emitted.as_slice(), state.len()),
            _ => (&[][..], 0),
        };
        // What was written is a reason to save the place: marks are then looked for behind it.
        self.handled += u64::from(writing.is_some());
        let wrote = writing.and_then(|writing| writing.wrote.as_deref());
        self.tell_visited(&active, visit.kind, (VisitResult::Done { emitted, state_keys }, wrote));
        visit.settle(&Answer::from(reply));
        self.start_ready()
    }

    fn close_visit(&mut self, id: RunId) -> Option<(Active, Visit)> {
        self.release_claims(id);
        let mut active = self.runs.close(id, false)?;
        let visit = active.visit.take()?;
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(request_id) = &visit.id {
            self.by_id.remove(request_id);
        }
        self.leave(&active);
        Some((active, visit))
    }

    fn tell_visited(&self, active: &Active, kind: Kind, (result, wrote): (VisitResult<'_>, Option<&Wrote>)) {
        let (handler, subject) = (&self.cx.spec.name, &active.input.entry.subject);
        let event = active.event().map(AsRef::as_ref);
        Gauges::count(&self.cx.gauges.visited);
        let (elapsed, span) = (active.elapsed, active.span);
        self.cx.observe.visited(&Visited { handler, kind, subject, event, result, wrote, elapsed, span });
    }
}
