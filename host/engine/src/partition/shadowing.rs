//! Shadowing: what the live version has run, the shadow runs again with its effects withheld. No live run waits for it: it
//! begins when that one is through in the sandbox, in a sandbox of its own, and what it does not keep up with is left out.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use waxwing_event::{Outcome, Position, outcome::FailureKind};

use super::{
    runs::RunId,
    serving::{Serving, Signal, Step},
    trying::{Shadowing, Trying},
};
use crate::{
    entry::{
        deploy::Tried,
        shadow::{Differing, MAX_TOLD},
    },
    port::{
        clock::after,
        invoke::{Report, Run, StateView},
        requests::Kind,
    },
    program::Beside,
    recorded::{Recorded, Replayed},
    shadow,
    view::RunView,
};

/// The most runs of the shadow under way in a partition.
const UNDER_WAY: usize = 16;

/// For so many times as long as a run of the shadow took that missed its deadline, none begins.
const RESTS: u32 = 10;

/// What came of a run of the shadow.
pub(super) struct Ran {
    /// The decision by which it ran.
    decision: Position,
    elapsed: Duration,
    ended: Ended,
}

enum Ended {
    /// It can be compared.
    Compared(Differing, MissedDeadline),
    /// The state that it saw may not have been that of the live run, or could not be read.
    Apart,
}

#[derive(PartialEq)]
struct MissedDeadline(bool);

impl Serving<'_> {
    /// The view by which a live run reads, which keeps what it gives where a shadow is to read the same.
    pub(super) fn view_of(&mut self, id: RunId, view: Arc<RunView>) -> Arc<dyn StateView> {
        let now = self.cx.clock.now();
        let recorded = match &mut self.trying {
            Some(Trying::Shadow(shadowing)) if shadowing.has_room(now) => {
                Some(Arc::new(Recorded::new(view.clone(), self.seen)))
            }
            Some(Trying::Shadow(shadowing)) => {
                shadowing.shadowed.compared.skipped += 1;
                None
            }
            Some(Trying::Canary(_)) | None => None,
        };
        if let Some(active) = self.runs.get_mut(id) {
            active.recorded.clone_from(&recorded);
        }
        match recorded {
            Some(recorded) => recorded,
            None => view,
        }
    }

    /// True where a shadow runs what this run has run.
    pub(super) fn is_shadowed(&mut self, id: RunId) -> bool {
        self.runs.get_mut(id).is_some_and(|active| active.recorded.is_some())
    }

    /// Lets the shadow run what a live run has ended in this way.
    pub(super) fn run_shadow(&mut self, id: RunId, live: Outcome) {
        let now = self.cx.clock.now();
        let Some(Trying::Shadow(shadowing)) = &mut self.trying else { return };
        let Some(active) = self.runs.get_mut(id) else { return };
        let Some((event, recorded)) = active.event().cloned().zip(active.recorded.take()) else { return };
        let module = self.program.beside.as_deref().and_then(|Beside { what, module }| match what.tried {
            Tried::Shadow => Some(module.clone()),
            Tried::Canary { .. } => None,
        });
        let may_run = shadowing.has_room(now) && !recorded.is_too_large();
        let Some(module) = module.filter(|_| may_run) else {
            shadowing.shadowed.compared.skipped += 1;
            return;
        };
        shadowing.under_way += 1;
        let decision = shadowing.shadowed.decision;
        let (input, key) = (active.input_position(), active.key().map(|key| key.to_string()));
        let is_asked = active.visit.as_ref().is_some_and(|visit| visit.kind == Kind::Request);
        let view = Arc::new(Replayed::new(recorded, self.cache.view(module.digest())));
        let (state, event_id, signals) = (view.clone(), event.id.clone(), self.signals.clone());
        let reporter = Box::new(move |Report { outcome, elapsed }: Report| {
            let is = |kind| matches!(&outcome, Outcome::Failed(failure) if failure.kind == kind);
            let ended = if view.has_strayed() || is(FailureKind::Unavailable) {
                Ended::Apart
            } else {
                let otherwise = shadow::compare(&live, &outcome);
                let late = MissedDeadline(is(FailureKind::Deadline));
                Ended::Compared(Differing { input, event_id, key, otherwise }, late)
            };
            // A failed send means that serving has ended.
            drop(signals.send(Signal::Shadowed(Box::new(Ran { decision, elapsed, ended }))));
        });
        module.invoke(Run { event, state, is_asked, reporter });
    }

    pub(super) fn on_shadowed(&mut self, ran: Ran) -> Step {
        let now = self.cx.clock.now();
        let Some(Trying::Shadow(shadowing)) = &mut self.trying else { return Step::Continue(()) };
        let Shadowing { shadowed, under_way, rests_until, .. } = shadowing.as_mut();
        if shadowed.decision != ran.decision {
            return Step::Continue(());
        }
        *under_way = under_way.saturating_sub(1);
        match ran.ended {
            Ended::Apart => shadowed.compared.skipped += 1,
            Ended::Compared(differing, late) => {
                shadowed.compared.count(&differing.otherwise);
                if !differing.otherwise.is_empty() && shadowed.first.len() < MAX_TOLD {
                    shadowed.first.push(differing);
                }
                if late == MissedDeadline(true) {
                    *rests_until = (*rests_until).max(after(now, ran.elapsed.saturating_mul(RESTS)));
                }
            }
        }
        Step::Continue(())
    }
}

impl Shadowing {
    fn has_room(&self, now: Timestamp) -> bool {
        self.under_way < UNDER_WAY && now >= self.rests_until
    }
}
