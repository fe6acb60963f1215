//! The standstill: nobody runs a handler's live generation for a moment.
//!
//! The owners of its partitions are asked to give way, and their leases are taken as any other is: so what they had under
//! way is refused or was taken, and where each partition stands is known exactly. One commit then says how it goes on,
//! and gives the leases up.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::{HandlerSpec, Pattern, Position};

use super::{LookError, look, switcher};
use crate::{
    engine::Ports,
    entry::{
        Layout, Lease, Origin, Partition,
        generation::Generations,
        partitions::{Former, FormerPlace, Share},
    },
    inputs::Inputs,
    lease::{Claim, Held, Taken},
    port::{
        log::{CommitError, Expect, NewEntry, commit},
        observe::Unobserved,
    },
    presence::{Living, News, Presence},
    recovery::{Place, Recovery, RecoveryError},
};

/// How often it is looked whether a lease is free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Brings the live generation of a handler to a standstill.
pub struct Asks {
    /// What the engine uses of the world.
    pub ports: Ports,
    /// Where things stand in the log.
    pub layout: Layout,
    /// The app's own subjects; empty: any may be.
    pub events: Vec<Pattern>,
    /// The handler.
    pub spec: Arc<HandlerSpec>,
    /// Who asks, as a host. A host that runs the handler itself needs another name for it.
    pub host: String,
    /// How long a silent host counts as living.
    pub lease: Duration,
}

/// Why a handler's live generation was not brought to a standstill. It goes on.
#[derive(Debug, thiserror::Error)]
pub enum StandstillError {
    /// Somebody else is at it.
    #[error("the host `{0}` builds the same, or switches: wait until it is done")]
    Switching(String),
    /// An owner did not give way in time.
    #[error("a host that runs the handler did not give way in time: look at it, or stop it, and try again")]
    NoWay,
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

/// A handler whose live generation nobody runs: all its leases are held.
pub struct Standstill<'a> {
    asks: &'a Asks,
    /// As it was.
    pub before: Generations,
    /// Where it stands that the owners are to give way.
    asked: Position,
    /// With the live generation.
    pub layout: Layout,
    held: Vec<Held>,
    /// Where each partition stands.
    pub places: Vec<Place>,
    /// The stream whose positions those are.
    pub origin: Option<Origin>,
    _presence: AbortOnDropHandle<()>,
}

impl Asks {
    /// Lets the owners give way, unless `stop` comes before they have; none where `may` does not want it by now.
    pub async fn begin(
        &self,
        may: impl FnOnce(&Generations) -> bool,
        stop: &CancellationToken,
    ) -> Result<Option<Standstill<'_>>, StandstillError> {
        let name = &self.spec.name;
        let log = self.ports.log.as_ref();
        let (before, position) = look(log, &self.layout, name).await?;
        if !may(&before) {
            return Ok(None);
        }
        if let Some(host) =
            switcher(log, &self.layout, &before, Some(&self.host)).await.map_err(LookError::from)?
        {
            return Err(StandstillError::Switching(host));
        }
        let presence = self.presence();
        presence.tell().await?;
        let presence = AbortOnDropHandle::new(tokio::spawn(presence.run()));
        let before = Generations { gives_way_to: None, ..before };
        let asking = Generations { gives_way_to: Some(self.host.clone()), ..before.clone() };
        let asked = commit(log, vec![asking.write(self.layout.generations(name), position)]).await?.last;
        let layout = self.layout.at(name, before.live);
        let mut still = Standstill {
            asks: self,
            before,
            asked,
            layout,
            held: Vec::new(),
            places: Vec::new(),
            origin: None,
            _presence: presence,
        };
        match still.take_over(stop).await {
            Ok(()) => Ok(Some(still)),
            Err(error) => {
                still.give_up().await;
                Err(error)
            }
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

    fn claim(&self, layout: &Layout, partition: Partition) -> Claim {
        Claim {
            log: self.ports.log.clone(),
            clock: self.ports.clock.clone(),
            // That the owner has it for a moment yet is no news.
            observe: Arc::new(Unobserved),
            layout: layout.clone(),
            handler: self.spec.name.clone(),
            partition,
            subject: layout.lease(&self.spec.name, partition),
            host: self.host.clone(),
            look_every: LOOK_EVERY,
        }
    }
}

impl Standstill<'_> {
    /// Takes all leases, and then finds where each partition stands.
    async fn take_over(&mut self, stop: &CancellationToken) -> Result<(), StandstillError> {
        for partition in self.before.partitions.all() {
            let claim = self.asks.claim(&self.layout, partition);
            let Some(Taken { held, .. }) = claim.acquire(None, stop).await else {
                return Err(StandstillError::NoWay);
            };
            self.held.push(held);
        }
        let Asks { ports, events, spec, .. } = self.asks;
        let inputs = Inputs::open(&ports.log, &ports.outside, spec).await.map_err(RecoveryError::from)?;
        for (held, partition) in self.held.iter().zip(self.before.partitions.all()) {
            let recovery = Recovery {
                log: ports.log.as_ref(),
                layout: &self.layout,
                events,
                spec,
                share: Share { partition, partitions: self.before.partitions },
                divided_by: &self.before.key,
                inputs: &inputs,
            };
            self.places.push(recovery.find(held, Position::NONE).await?);
        }
        self.origin = inputs.origin;
        Ok(())
    }

    /// All marks of those who ran it stand below this.
    pub fn fence(&self) -> Position {
        self.held.iter().map(|held| held.fence).max().unwrap_or_default()
    }

    /// What its partitions have handled.
    pub fn handled(&self) -> Vec<Former> {
        let place = |place: &Place| FormerPlace {
            watermark: place.watermark,
            handled: place.handled.iter().copied().collect(),
        };
        let now = Former { places: self.places.iter().map(place).collect() };
        // What was divided in yet another way before is the same to all partitions, as far as they still know of it.
        let mut all = vec![now];
        for former in self.places.iter().flat_map(|place| &place.former) {
            if !all.contains(former) {
                all.push(former.clone());
            }
        }
        all
    }

    /// Says how it goes on, in one commit, which holds these entries as well.
    pub async fn end(self, after: Generations, also: Vec<NewEntry>) -> Result<Generations, StandstillError> {
        let Asks { ports, layout, spec, .. } = self.asks;
        let free = Lease { host: None };
        let mut entries: Vec<NewEntry> = self
            .held
            .iter()
            .map(|held| free.write(held.subject.clone(), Expect { subject: None, last: held.fence }))
            .collect();
        entries.push(after.write(layout.generations(&spec.name), self.asked));
        entries.extend(also);
        match commit(ports.log.as_ref(), entries).await {
            Ok(_) => Ok(after),
            // The log tells what has become of it.
            Err(CommitError::Unknown(_))
                if look(ports.log.as_ref(), layout, &spec.name).await?.0 == after =>
            {
                Ok(after)
            }
            Err(error) => {
                self.give_up().await;
                Err(error.into())
            }
        }
    }

    /// Leaves everything as it was.
    pub async fn give_up(self) {
        let Asks { ports, layout, spec, .. } = self.asks;
        let entry = self.before.write(layout.generations(&spec.name), self.asked);
        if let Err(error) = commit(ports.log.as_ref(), vec![entry]).await {
            tracing::warn!(handler = %spec.name, %error, "hosts go on when this one counts as dead");
        }
        for (held, partition) in self.held.iter().zip(self.before.partitions.all()) {
            if let Err(error) = self.asks.claim(&self.layout, partition).release(held).await {
                tracing::warn!(handler = %spec.name, %error, "hosts go on when this one counts as dead");
            }
        }
    }
}
