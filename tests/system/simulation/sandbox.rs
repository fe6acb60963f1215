//! The sandbox of the simulation: runs the handlers at the pace of the dice.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateUnavailable, StateView},
};
use waxwing_event::{Digest, Effects, Event, Failure, Outcome, outcome::FailureKind};

use super::{
    handler::{Act, Handler, item},
    life::Life,
    trace::Seen,
    witness::Witness,
};

/// Why a run fails whose handler depends on what is down.
pub const DOWN: &str = "what it depends on is down";

/// A handler, as one process runs it.
pub struct Sandbox {
    pub handler: Handler,
    pub life: Arc<Life>,
    pub witness: Witness,
    /// How many runs meet.
    pub meeting: usize,
}

impl Invoke for Sandbox {
    fn invoke(&self, run: Run) {
        let guest = Guest {
            handler: self.handler,
            life: self.life.clone(),
            witness: self.witness.clone(),
            meeting: self.meeting,
            event: run.event,
            state: run.state,
        };
        let reporter = run.reporter;
        tokio::spawn(async move {
            let ran = guest.run().await;
            let (life, handler, position) = (&guest.life, guest.handler, guest.event.position);
            // A process that is paused or dead reports nothing.
            if life.awake().await.is_err() {
                return;
            }
            let outcome = match ran {
                Ok(effects) => Outcome::Done(effects),
                Err(failure) => Outcome::Failed(failure),
            };
            life.note(format_args!("{handler:?} has run {position}: {}", shown(&outcome)));
            if matches!(outcome, Outcome::Done(_)) {
                guest.witness.ran(handler, position, life.world.server.last());
            }
            drop(guest);
            reporter(Report { outcome, elapsed: Duration::ZERO });
        });
    }

    fn digest(&self) -> Digest {
        Digest([1; 32])
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(effects) => format!("{} events, {} states", effects.emits.len(), effects.state.len()),
        Outcome::Failed(failure) => failure.to_string(),
    }
}

/// One run.
struct Guest {
    handler: Handler,
    life: Arc<Life>,
    witness: Witness,
    meeting: usize,
    event: Arc<Event>,
    state: Arc<dyn StateView>,
}

impl Guest {
    async fn run(&self) -> Result<Effects, Failure> {
        let (handler, event, world) = (self.handler, &self.event, &self.life.world);
        let run = self.witness.begins(handler, event.position);
        if run > 1 {
            world.trace.count(Seen::RunAgain);
        }
        self.takes_its_time().await;
        let mut read = BTreeMap::new();
        for key in handler.reads(event) {
            let value = self.state.get(&key).await.map_err(unavailable)?;
            read.insert(key, value);
            self.takes_its_time().await;
        }
        match item(event).map(|item| item.act) {
            Ok(Act::List) => drop(self.state.keys("").await.map_err(unavailable)?),
            Ok(Act::Meet) => self.witness.meet(handler, self.meeting).await,
            _ => {}
        }
        self.fails(run).map_or_else(|| handler.act(event, &read), Err)
    }

    fn fails(&self, run: u64) -> Option<Failure> {
        let modules = &self.life.world.modules;
        if modules.are_fixed() {
            return None;
        }
        if modules.is_down(self.handler) {
            return Some(Failure::new(FailureKind::Retry, DOWN));
        }
        item(&self.event).ok()?.failure(run)
    }

    async fn takes_its_time(&self) {
        let world = &self.life.world;
        if world.weather.faults().is_some_and(|faults| world.dice.percent(faults.slow)) {
            world.trace.count(Seen::SlowRun);
            return world.clock.wait(world.dice.millis(100..15_000)).await;
        }
        for _ in 0..world.dice.within(0..3) {
            tokio::task::yield_now().await;
        }
        if world.dice.percent(30) {
            world.clock.wait(world.dice.spread(Duration::from_millis(5))).await;
        }
    }
}

fn unavailable(error: StateUnavailable) -> Failure {
    Failure::new(FailureKind::Unavailable, error.to_string())
}
