//! A partition of a handler on this host: it waits for the lease, finds its place, serves, and gives up.

mod active;
mod alarm;
mod attempt;
mod claims;
mod entrance;
mod runs;
mod saving;
mod serving;
mod timing;
mod visits;
mod waiting;
mod writing;

pub use entrance::Doorway;
pub(crate) use waiting::{parked_of, told};

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use waxwing_event::{HandlerSpec, Pattern, Position};

use crate::{
    committer::{Committer, Work},
    entry::{Layout, Outage, Partition, tombstone},
    gauges::Gauges,
    inputs::Inputs,
    lease::{Claim, Held, Living},
    operators::Operators,
    plan::Planner,
    port::{
        Clock, Invoke, Log, Observe, Outside,
        log::{CommitError, Entry},
        observe::PartitionChange,
    },
    recovery::{Place, Recovery, RecoveryError},
};
use serving::{End, Serving};

/// How long a partition rests after it was interrupted, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Everything that a partition needs, the same for its whole life.
pub struct Context {
    /// The handler.
    pub spec: Arc<HandlerSpec>,
    /// Which part of it.
    pub partition: Partition,
    /// Its module.
    pub module: Arc<dyn Invoke>,
    /// Where things stand in the log.
    pub layout: Layout,
    /// The app's own subjects; empty: any may be.
    pub events: Arc<[Pattern]>,
    /// Stamps and marks.
    pub planner: Planner,
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// What lies outside of it.
    pub outside: Outside,
    /// Where requests and live messages come in; none where the handler takes none.
    pub entrance: Option<Doorway>,
    /// Tells what operators write.
    pub operators: Operators,
    /// Writes for all partitions.
    pub committer: Committer,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub observe: Arc<dyn Observe>,
    /// What it shows of itself.
    pub gauges: Arc<Gauges>,
    /// This host.
    pub host: String,
    /// How long a silent host counts as living.
    pub lease: Duration,
    /// Whether this one surely does.
    pub living: Living,
    /// How often the checkpoint is saved.
    pub checkpoint_every: Duration,
    /// Bytes of state kept in memory.
    pub cache_bytes: NonZeroUsize,
}

impl Context {
    /// Owns and serves the partition, again after each interruption, until `stop`; then finishes what is
    /// under way, unless `abandon` comes first. In the end it gives the lease up.
    pub async fn run(self, stop: CancellationToken, abandon: CancellationToken) {
        let mut held = None;
        tokio::select! {
            biased;
            () = abandon.cancelled() => {}
            () = self.own(&stop, &mut held) => {}
        }
        // A commit whose end is not known here was taken before the lease is given up, or never will be.
        if let Some(held) = held {
            self.release(&held).await;
        }
    }

    /// Serves until `stop`; the lease that was taken last is left in `held`.
    async fn own(&self, stop: &CancellationToken, held: &mut Option<Held>) {
        let mut rest = REST.0;
        let mut known = Position::NONE;
        loop {
            let Some((lease, inputs, place, operators)) = self.begin(stop, known, held).await else { return };
            let from = place.watermark.next();
            self.tell(PartitionChange::Started { from });
            if place.had_stopped {
                self.note_stopped(&lease, None);
            }
            match Serving::new(self, lease, (inputs, place), operators).run(stop).await {
                End::Drained => return,
                End::Interrupted { why, progressed, seen } => {
                    known = seen;
                    rest = if progressed { REST.0 } else { (rest * 2).min(REST.1) };
                    self.tell(PartitionChange::Interrupted(why));
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.clock.sleep(rest) => {}
            }
        }
    }

    /// Takes the lease and finds the place; none where it must stop instead. `known` is the highest position
    /// that this host has seen taken.
    async fn begin(
        &self,
        stop: &CancellationToken,
        known: Position,
        taken: &mut Option<Held>,
    ) -> Option<(Held, Inputs, Place, mpsc::UnboundedReceiver<Entry>)> {
        let claim = self.claim();
        let mut told = None;
        loop {
            let held = claim.acquire(stop).await?;
            *taken = Some(held.clone());
            // Before the place is found, so that nothing is missed between.
            let operators = self.operators.listen(&self.spec.name);
            let found = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                found = self.find(&held, known) => found,
            };
            match found {
                Ok((inputs, place)) => return Some((held, inputs, place, operators)),
                Err(error) if error.is_passing() => {
                    let why = error.to_string();
                    // What lasts is told once.
                    if told.as_ref() != Some(&why) {
                        self.tell(PartitionChange::Interrupted(why.clone()));
                        told = Some(why);
                    }
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return None,
                        () = self.clock.sleep(REST.1) => {}
                    }
                }
                Err(error) => {
                    self.tell(PartitionChange::Stopped(error.to_string()));
                    self.note_stopped(&held, Some(error.to_string()));
                    stop.cancelled().await;
                    return None;
                }
            }
        }
    }

    /// Writes for whoever looks that the partition has stopped and why, or that it goes on.
    fn note_stopped(&self, held: &Held, why: Option<String>) {
        let subject = self.layout.stopped(&self.spec.name, self.partition);
        let entry = match why {
            Some(reason) => Outage { since: self.clock.now(), reason }.write(subject),
            None => tombstone::write(subject),
        };
        // Nothing depends on it.
        let done = Box::new(|end: Result<_, CommitError>| drop(end));
        self.committer.submit(Work::under(held, vec![entry], done));
    }

    async fn release(&self, held: &Held) {
        match self.claim().release(held).await {
            // Another host has it by now.
            Ok(()) | Err(CommitError::Refused(_)) => {}
            Err(error) => {
                tracing::warn!(handler = %self.spec.name, %error, "the lease was not given up: another host waits for its time");
            }
        }
        self.tell(PartitionChange::Released);
    }

    async fn find(&self, held: &Held, known: Position) -> Result<(Inputs, Place), RecoveryError> {
        let inputs = Inputs::open(&self.log, &self.outside, &self.spec).await?;
        let recovery = Recovery {
            log: self.log.as_ref(),
            layout: &self.layout,
            events: &self.events,
            spec: &self.spec,
            partition: self.partition,
            inputs: &inputs,
        };
        let place = recovery.find(held, known).await?;
        Ok((inputs, place))
    }

    fn claim(&self) -> Claim {
        Claim {
            log: self.log.clone(),
            clock: self.clock.clone(),
            observe: self.observe.clone(),
            layout: self.layout.clone(),
            handler: self.spec.name.clone(),
            subject: self.layout.lease(&self.spec.name, self.partition),
            host: self.host.clone(),
            lease: self.lease,
        }
    }

    fn tell(&self, change: PartitionChange) {
        self.observe.partition(&self.spec.name, &change);
    }
}
