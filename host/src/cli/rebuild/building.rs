//! A generation that is being built.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::sync::watch;
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    entry::generation::Generation,
    gauges::Gauges,
    generations::{Build, Role},
    port::Invoke,
};
use waxwing_event::{
    HandlerSpec, Position,
    handler::{OutagePolicy, Start},
};

use super::course::{Course, Far, Meter};

/// How often it is looked how far it is.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long it is waited for events that are to be tried again.
const RETRIES_TIME: Duration = Duration::from_secs(5);

/// Runs the events of a handler for a generation that is not live.
pub(super) struct Building {
    course: Course,
    engine: Engine,
    pub(super) gauges: Arc<Gauges>,
    until: watch::Sender<Position>,
    /// Up to where it had handled everything when it began.
    begun: Position,
    meter: Meter,
    /// How long it has waited for events that are to be tried again.
    waited: Duration,
}

impl Building {
    /// Begins behind what it has handled.
    pub(super) async fn begin(
        course: Course,
        (options, ports): (Options, Ports),
        (spec, module): (&HandlerSpec, Arc<dyn Invoke>),
        generation: Generation,
        (begun, until): (Position, Position),
    ) -> Result<Building> {
        let (sender, receiver) = watch::channel(until);
        let role = Role::Builds(Build { generation, until: receiver });
        // Nothing that it does can mend what is down: its events fail.
        let outage = OutagePolicy { after: 0, ..spec.outage.clone() };
        let spec = HandlerSpec { start: Start::First, outage, ..spec.clone() };
        let engine = Engine::start(options, ports, vec![Hosted { role, ..Hosted::new(spec, module) }]).await;
        let engine = engine.context("the log takes nothing")?;
        let gauges = engine.gauges().first().map(|(_, gauges)| gauges.first().clone()).unwrap_or_default();
        let meter = Meter::begin(course.far(begun, until).await?);
        Ok(Building { course, engine, gauges, until: sender, begun, meter, waited: Duration::ZERO })
    }

    /// Goes on until it has handled everything up to where `until` says, which is asked again and again.
    pub(super) async fn catch_up(&mut self, until: impl AsyncFn() -> Result<Position>) -> Result<Far> {
        loop {
            let until = until().await?;
            self.until.send_replace(until);
            let watermark = self.begun.max(Position(Gauges::read(&self.gauges.watermark)));
            let far = self.course.far(watermark, until).await?;
            self.meter.show(far);
            if far.done >= far.all {
                if Gauges::read(&self.gauges.parked) == 0 || self.waited >= RETRIES_TIME {
                    return Ok(far);
                }
                self.waited += LOOK_EVERY;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Stops; all that is under way is finished, within this time.
    pub(super) async fn end(self, grace: Duration) {
        self.meter.end();
        self.engine.drain(grace).await;
    }
}
