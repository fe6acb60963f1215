//! The switch: another generation of a handler becomes the live one, in one commit.
//!
//! The owner of the live one is asked to give way, and its lease is taken as any other is: so nobody answers from the
//! old one any more when the new one goes on. The lease also says exactly what the old one has handled. What it has
//! emitted for that, the new one leaves out.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::{Digest, HandlerSpec, Pattern, Position};

use super::{LookError, look};
use crate::{
    engine::Ports,
    entry::{
        Checkpoint, Layout, Lease, Origin, Partition,
        generation::{Generation, Generations, Kind, Other, Withheld},
    },
    inputs::Inputs,
    lease::{Claim, Held, Living, Presence},
    port::log::{CommitError, Expect, commit},
    recovery::{Place, Recovery, RecoveryError},
};

/// How often it is looked whether the lease is free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Switches a handler from one generation to another.
pub struct Switch {
    /// What the engine uses of the world.
    pub ports: Ports,
    /// Where things stand in the log.
    pub layout: Layout,
    /// The app's own subjects; empty: any may be.
    pub events: Vec<Pattern>,
    /// The handler.
    pub spec: Arc<HandlerSpec>,
    /// This host.
    pub host: String,
    /// The module that has built the other generation.
    pub module: Digest,
    /// How long a silent host counts as living.
    pub lease: Duration,
}

/// Why a handler was not switched. The live generation goes on.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// There is no such generation.
    #[error("there is no generation {0} to switch to: somebody has removed it, or switched already")]
    Gone(Generation),
    /// Somebody else is at it.
    #[error("the host `{0}` is switching: wait until it is done")]
    Switching(String),
    /// The owner did not give way in time.
    #[error(
        "the host that runs the handler did not give way in time: look at it, or stop it, and switch again"
    )]
    NoWay,
    /// What the live one has still to do would be lost.
    #[error(
        "{0} of its events wait in the live generation for an attempt; what they would emit would be lost: wait, or \
         decide about them with `waxwing parked` and `waxwing dead`, and switch again"
    )]
    Parked(usize),
    /// It is not known which generations there are.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Where the live one stands is not known.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A switch under way: the lease of the live generation is held, and nobody runs it.
pub struct Handover<'a> {
    switch: &'a Switch,
    to: Other,
    /// As it was.
    before: Generations,
    /// Where it stands that the owner is to give way.
    asked: Position,
    /// With the live generation.
    layout: Layout,
    held: Held,
    place: Place,
    origin: Option<Origin>,
    _presence: AbortOnDropHandle<()>,
}

impl Switch {
    /// Lets the owner of the live generation give way, unless `stop` comes before it has.
    pub async fn begin(&self, to: Generation, stop: &CancellationToken) -> Result<Handover<'_>, SwitchError> {
        let name = &self.spec.name;
        let log = self.ports.log.as_ref();
        let presence = self.presence();
        presence.tell().await?;
        let presence = AbortOnDropHandle::new(tokio::spawn(presence.run()));
        let (before, position) = look(log, &self.layout, name).await?;
        let other = before.other.clone();
        let other = other.filter(|other| other.generation == to && other.kind != Kind::Replayed);
        let Some(other) = other else { return Err(SwitchError::Gone(to)) };
        if let Some(host) = &before.gives_way_to
            && *host != self.host
            && self.lives(host).await?
        {
            return Err(SwitchError::Switching(host.clone()));
        }
        let before = Generations { gives_way_to: None, ..before };
        let asks = Generations { gives_way_to: Some(self.host.clone()), ..before.clone() };
        let asked = commit(log, vec![asks.write(self.layout.generations(name), position)]).await?.last;
        let layout = self.layout.at(name, before.live);
        let Some(held) = self.claim(&layout).acquire(stop).await else {
            self.take_back(&before, asked).await;
            return Err(SwitchError::NoWay);
        };
        match self.find(&layout, &held).await {
            Ok((place, origin)) => Ok(Handover {
                switch: self,
                to: other,
                before,
                asked,
                layout,
                held,
                place,
                origin,
                _presence: presence,
            }),
            Err(error) => {
                self.take_back(&before, asked).await;
                self.give_back(&layout, &held).await;
                Err(error)
            }
        }
    }

    /// Where the live generation stands, whose lease is held.
    async fn find(&self, layout: &Layout, held: &Held) -> Result<(Place, Option<Origin>), SwitchError> {
        let inputs = Inputs::open(&self.ports.log, &self.ports.outside, &self.spec).await;
        let inputs = inputs.map_err(RecoveryError::from)?;
        let recovery = Recovery {
            log: self.ports.log.as_ref(),
            layout,
            events: &self.events,
            spec: &self.spec,
            partition: Partition(0),
            inputs: &inputs,
        };
        let place = recovery.find(held, Position::NONE).await?;
        self.check_what_waits(&place)?;
        Ok((place, inputs.origin))
    }

    /// Parked events count as handled, but what they emit is still to come; and the events of timers are nowhere else.
    fn check_what_waits(&self, place: &Place) -> Result<(), SwitchError> {
        let waiting = if self.spec.grants.is_empty() { place.fired.len() } else { place.parked.len() };
        if waiting > 0 { Err(SwitchError::Parked(waiting)) } else { Ok(()) }
    }

    /// Nobody needs to give way any more.
    async fn take_back(&self, before: &Generations, asked: Position) {
        let entry = before.write(self.layout.generations(&self.spec.name), asked);
        if let Err(error) = commit(self.ports.log.as_ref(), vec![entry]).await {
            tracing::warn!(handler = %self.spec.name, %error, "hosts go on when this one counts as dead");
        }
    }

    async fn give_back(&self, layout: &Layout, held: &Held) {
        if let Err(error) = self.claim(layout).release(held).await {
            tracing::warn!(handler = %self.spec.name, %error, "hosts go on when this one counts as dead");
        }
    }

    async fn lives(&self, host: &str) -> Result<bool, LookError> {
        Ok(self.ports.log.last(&self.layout.host(host)).await?.is_some())
    }

    fn presence(&self) -> Presence {
        Presence {
            log: self.ports.log.clone(),
            clock: self.ports.clock.clone(),
            subject: self.layout.host(&self.host),
            lease: self.lease,
            living: Living::default(),
        }
    }

    fn claim(&self, layout: &Layout) -> Claim {
        Claim {
            log: self.ports.log.clone(),
            clock: self.ports.clock.clone(),
            observe: self.ports.observe.clone(),
            layout: layout.clone(),
            handler: self.spec.name.clone(),
            subject: layout.lease(&self.spec.name, Partition(0)),
            host: self.host.clone(),
            look_every: LOOK_EVERY,
        }
    }
}

impl Handover<'_> {
    /// Up to where the live generation has handled everything.
    pub fn watermark(&self) -> Position {
        self.place.watermark
    }

    /// Makes the other generation the live one, in one commit.
    pub async fn finish(self) -> Result<Generations, SwitchError> {
        let Switch { ports, layout, spec, module, .. } = self.switch;
        let handled: Vec<Position> = self.place.handled.iter().copied().collect();
        let checkpoint = Checkpoint {
            watermark: self.place.watermark,
            handled: handled.clone(),
            marks_after: self.held.fence,
            origin: self.origin.clone(),
        };
        let Generations { live, module: built_by, .. } = self.before;
        let switched = Generations {
            live: self.to.generation,
            module: Some(*module),
            withheld: Withheld { up_to: self.place.watermark, also: handled },
            other: Some(Other { generation: live, module: built_by, kind: Kind::Former }),
            gives_way_to: None,
        };
        let free = Lease { host: None };
        let entries = vec![
            free.write(self.held.subject.clone(), Expect { subject: None, last: self.held.fence }),
            checkpoint.write(self.layout.checkpoint(&spec.name, Partition(0))),
            switched.write(layout.generations(&spec.name), self.asked),
        ];
        match commit(ports.log.as_ref(), entries).await {
            Ok(_) => Ok(switched),
            Err(error) => {
                self.give_up().await;
                Err(error.into())
            }
        }
    }

    /// Leaves everything as it was.
    pub async fn give_up(self) {
        self.switch.take_back(&self.before, self.asked).await;
        self.switch.give_back(&self.layout, &self.held).await;
    }
}
