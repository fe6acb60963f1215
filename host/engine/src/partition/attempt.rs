//! Attempts: an event runs, and its end is judged.

use std::sync::Arc;

use waxwing_event::{Effects, Failure, Outcome};

use super::{
    runs::RunId,
    serving::{Serving, Signal, Step},
};
use crate::{
    gauges::Gauges,
    policy::{self, Verdict},
    port::{
        invoke::{Report, Run, StateUnavailable},
        observe::PartitionChange,
        requests::Kind,
    },
    program::Program,
    timers::slot,
    view::RunView,
};

impl Serving<'_> {
    /// Starts an event.
    pub(super) fn start(&mut self, id: RunId) {
        if self.drop_cancelled(id) {
            return;
        }
        let undecodable = self.runs.get_mut(id).and_then(|active| active.input.event.as_ref().err().cloned());
        match undecodable {
            Some(failure) => self.write_dead_letter(id, failure),
            None => self.invoke(id),
        }
    }

    /// Runs an event; a signal tells of the end.
    pub(super) fn invoke(&mut self, id: RunId) {
        if self.drop_cancelled(id) {
            return;
        }
        let Some(module) = self.choose(id).map(Program::digest) else { return };
        let view = self.cache.view(module);
        let Some(active) = self.runs.get_mut(id) else { return };
        active.begin();
        active.view = Some(view.clone());
        active.is_duplicate = false;
        match active.dedupe.clone() {
            Some(slot) => self.look_whether_handled(id, view, slot),
            None => self.hand_over(id),
        }
    }

    /// Asks whether an event of this id was handled at another position; a signal tells.
    fn look_whether_handled(&self, id: RunId, view: Arc<RunView>, slot: String) {
        let signals = self.signals.clone();
        tokio::spawn(async move {
            let looked = view.was_handled(&slot).await;
            // A failed send means that serving has ended.
            let _ = signals.send(Signal::WasHandled(id, looked));
        });
    }

    pub(super) fn on_looked_whether_handled(
        &mut self,
        id: RunId,
        looked: Result<bool, StateUnavailable>,
    ) -> Step {
        match looked {
            Ok(false) => self.hand_over(id),
            Ok(true) => {
                Gauges::count(&self.cx.gauges.duplicates);
                if let Some(active) = self.runs.get_mut(id) {
                    active.is_duplicate = true;
                }
                return self.commit(id, Effects::default());
            }
            Err(error) => return Step::Break(error.to_string()),
        }
        Step::Continue(())
    }

    /// Hands an event over to its module.
    fn hand_over(&mut self, id: RunId) {
        let Some(active) = self.runs.get_mut(id) else { return };
        if let Some(sampling) = self.cx.traces {
            active.trace(self.cx.planner.source(), sampling);
        }
        let Some((event, view)) = active.event().cloned().zip(active.view.clone()) else { return };
        let Some(module) = active.program.as_ref().map(|program| program.module.clone()) else { return };
        let is_asked = active.visit.as_ref().is_some_and(|visit| visit.kind == Kind::Request);
        let state = self.view_of(id, view);
        let signals = self.signals.clone();
        // A failed send means that serving has ended: nobody waits for this run any more.
        let reporter = Box::new(move |report| drop(signals.send(Signal::Ran(id, report))));
        module.invoke(Run { event, state, is_asked, reporter });
    }

    pub(super) fn on_report(&mut self, id: RunId, report: Report) -> Step {
        if let Some(active) = self.runs.get_mut(id) {
            active.elapsed += report.elapsed;
        }
        if self.drop_cancelled(id) {
            return self.start_ready();
        }
        match report.outcome {
            Outcome::Done(effects) if matches!(id, RunId::Visit(_)) => self.commit(id, effects),
            Outcome::Done(effects) => {
                self.note_that_it_works();
                self.commit(id, effects)
            }
            Outcome::Failed(failure) => self.on_failure(id, failure),
        }
    }

    fn on_failure(&mut self, id: RunId, failure: Failure) -> Step {
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        if active.view.as_ref().is_some_and(|view| !view.is_current()) {
            // What it has read was never true together, or is no more.
            self.release_claims(id);
            self.invoke(id);
            return Step::Continue(());
        }
        if let Some(slot) = active.timer.as_deref().map(slot).or_else(|| active.dedupe.clone())
            && self.claims.held_by_another(id, [&slot].into_iter()).is_some()
        {
            self.wait_for(id, slot);
            return Step::Continue(());
        }
        let Some(active) = self.runs.get_mut(id) else { return Step::Continue(()) };
        let (position, attempt) = (active.position(), active.attempt);
        let spec = &self.cx.spec;
        let verdict = policy::verdict(&spec.retry, &spec.name, position, attempt, &failure);
        if verdict == Verdict::Unspent {
            return Step::Break(failure.reason);
        }
        Gauges::count(&self.cx.gauges.failed);
        self.count_failed(id, &failure);
        if self.is_shadowed(id) {
            self.run_shadow(id, Outcome::Failed(failure.clone()));
        }
        if matches!(id, RunId::Visit(_)) {
            return self.on_visit_failed(id, failure);
        }
        let now = self.cx.clock.now();
        if policy::is_alive(Some(&failure)) {
            self.note_that_it_works();
        } else if self.is_on_canary(id) {
            // A bad canary is no outage: it is judged by itself.
        } else if self.health.failed(position, &failure.to_string(), now) {
            self.tell(PartitionChange::Outage { reason: failure.to_string() });
            self.note_outage();
        }
        if self.health.outage().is_some() {
            return self.put_back(id);
        }
        match verdict {
            Verdict::AtOnce if self.stopping => return self.put_back(id),
            Verdict::AtOnce => {
                self.release_claims(id);
                if let Some(active) = self.runs.get_mut(id) {
                    active.try_again();
                }
                self.invoke(id);
            }
            Verdict::After(delay) => self.park_failed(id, failure, delay),
            Verdict::DeadLetter | Verdict::Unspent => self.write_dead_letter(id, failure),
        }
        Step::Continue(())
    }

    /// Lets an event wait in memory as if it had not been started.
    fn put_back(&mut self, id: RunId) -> Step {
        self.release_claims(id);
        self.under_way = self.under_way.saturating_sub(1);
        let now = self.cx.clock.now();
        if let Some(active) = self.runs.get_mut(id) {
            active.program = None;
            self.health.ended(active.position(), now);
        }
        match id {
            RunId::Visit(_) => self.put_ready(id),
            RunId::Window(_) => {
                if let Some(active) = self.runs.get_mut(id) {
                    self.ready.put_back(active.position(), id);
                }
            }
            // Behind the others that are parked: the next probe is another event.
            RunId::Aside(_) => {
                if let Some(active) = self.runs.close(id, true) {
                    self.parking.put_back(active.position(), now);
                }
            }
        }
        self.start_ready()
    }

    fn note_that_it_works(&mut self) {
        if self.health.works() {
            self.ready.forgive();
            self.tell(PartitionChange::OutageOver);
            self.note_outage();
        }
    }

    pub(super) fn tell(&self, change: PartitionChange) {
        self.cx.observe.partition(&self.cx.spec.name, self.cx.share.partition, &change);
    }
}
