//! The switch: another generation of a handler becomes the live one, in one commit.
//!
//! The owner of the live one is asked to give way, and its lease is taken as any other is: so nobody answers from the
//! old one any more when the new one goes on. The lease also says exactly what the old one has handled. What it has
//! emitted for that, the new one leaves out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::{Digest, HandlerSpec, Pattern, Position};

use super::{LookError, look, switcher};
use crate::{
    engine::Ports,
    entry::{
        Checkpoint, DeadLetter, Layout, Lease, Origin, Partition,
        generation::{Generation, Generations, Kind, Other},
        timer, tombstone,
    },
    inputs::Inputs,
    lease::{self, Claim, Held, Taken},
    port::{
        log::{CommitError, Expect, NewEntry, Part, commit},
        observe::Unobserved,
    },
    presence::{Living, News, Presence},
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
    /// True where it switches though events of the live generation wait.
    pub leaves_what_waits: bool,
}

/// Why a handler was not switched. The live generation goes on.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// There is no such generation.
    #[error("there is no generation {0} to switch to: somebody has removed it, or switched already")]
    Gone(Generation),
    /// Somebody else is at it.
    #[error("the host `{0}` builds the same, or switches: wait until it is done")]
    Switching(String),
    /// The owner did not give way in time.
    #[error(
        "the host that runs the handler did not give way in time: look at it, or stop it, and switch again"
    )]
    NoWay,
    /// What the live one has still to do would be lost.
    #[error(
        "{0} events wait in the live generation for an attempt, or are events of timers and dead letters; what they \
         would emit, and their timers, would be lost: wait, or decide about them (`waxwing parked ls`, `waxwing dead \
         ls`), and switch again"
    )]
    Waiting(usize),
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
    /// Dead letters of the live generation.
    dead: BTreeSet<Position>,
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
        let other = before
            .other
            .clone()
            .filter(|other| other.generation == to && matches!(other.kind, Kind::Built | Kind::Former));
        let Some(other) = other else { return Err(SwitchError::Gone(to)) };
        if let Some(host) = self.another(&before, to).await? {
            return Err(SwitchError::Switching(host));
        }
        let before = Generations { gives_way_to: None, ..before };
        let asks = Generations { gives_way_to: Some(self.host.clone()), ..before.clone() };
        let asked = commit(log, vec![asks.write(self.layout.generations(name), position)]).await?.last;
        let layout = self.layout.at(name, before.live);
        let Some(Taken { held, .. }) = self.claim(&layout).acquire(None, stop).await else {
            self.take_back(&before, asked).await;
            return Err(SwitchError::NoWay);
        };
        match self.find(&layout, &held).await {
            Ok((place, dead, origin)) => Ok(Handover {
                switch: self,
                to: other,
                before,
                asked,
                layout,
                held,
                place,
                dead,
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
    async fn find(
        &self,
        layout: &Layout,
        held: &Held,
    ) -> Result<(Place, BTreeSet<Position>, Option<Origin>), SwitchError> {
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
        let (mut dead, mut dead_timers) = (BTreeSet::new(), 0);
        let letters = layout.dead_letters(Some(&self.spec.name));
        for entry in
            self.ports.log.last_of_each(&letters, Part::Headers, usize::MAX).await.map_err(LookError::from)?
        {
            if tombstone::is(&entry) {
                continue;
            }
            dead.extend(Layout::position(&entry.subject));
            let original = DeadLetter::read(entry).map(|letter| letter.about.original);
            dead_timers += usize::from(original.is_ok_and(|original| timer::is_on(&original.subject)));
        }
        // Parked events count as handled, but their effects are still to come; the events of timers are nowhere else.
        let waiting = place.parked.len() + dead_timers;
        if waiting > 0 && !self.leaves_what_waits {
            return Err(SwitchError::Waiting(waiting));
        }
        Ok((place, dead, inputs.origin))
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

    /// Who else builds the other generation, or switches.
    async fn another(&self, before: &Generations, to: Generation) -> Result<Option<String>, LookError> {
        let (log, name) = (self.ports.log.as_ref(), &self.spec.name);
        let builder = lease::owner(log, &self.layout.at(name, to), name, Partition(0)).await?;
        match builder.filter(|host| *host != self.host) {
            Some(builder) => Ok(Some(builder)),
            None => Ok(switcher(log, &self.layout, before, Some(&self.host)).await?),
        }
    }

    fn presence(&self) -> Presence {
        Presence {
            log: self.ports.log.clone(),
            clock: self.ports.clock.clone(),
            subject: self.layout.host(&self.host),
            // It runs no handler.
            news: watch::channel(News::default()).1,
            lease: self.lease,
            living: Living::default(),
        }
    }

    fn claim(&self, layout: &Layout) -> Claim {
        Claim {
            log: self.ports.log.clone(),
            clock: self.ports.clock.clone(),
            // That the owner has it for a moment yet is no news.
            observe: Arc::new(Unobserved),
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

    /// Makes the other generation the live one, in one commit, which holds these entries as well.
    pub async fn finish(self, also: Vec<NewEntry>) -> Result<Generations, SwitchError> {
        let Switch { ports, layout, spec, module, .. } = self.switch;
        let Place { watermark, handled, .. } = &self.place;
        let checkpoint = Checkpoint {
            watermark: *watermark,
            handled: handled.iter().copied().collect(),
            marks_after: self.held.fence,
            origin: self.origin.clone(),
        };
        let Generations { live, module: built_by, .. } = self.before;
        let withheld = self.before.withheld.after(*watermark, handled, self.dead.clone());
        let switched = Generations {
            live: self.to.generation,
            module: Some(*module),
            withheld,
            other: Some(Other { generation: live, module: built_by, kind: Kind::Former }),
            gives_way_to: None,
            highest: self.before.highest,
        };
        let free = Lease { host: None };
        let mut entries = vec![
            free.write(self.held.subject.clone(), Expect { subject: None, last: self.held.fence }),
            checkpoint.write(self.layout.checkpoint(&spec.name, Partition(0))),
            switched.write(layout.generations(&spec.name), self.asked),
        ];
        entries.extend(also);
        match commit(ports.log.as_ref(), entries).await {
            Ok(_) => Ok(switched),
            // The log tells what has become of it.
            Err(CommitError::Unknown(_))
                if look(ports.log.as_ref(), layout, &spec.name).await?.0 == switched =>
            {
                Ok(switched)
            }
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
