//! A partition of a handler on this host: it waits for the lease, finds its place, serves, and gives up.

mod active;
mod alarm;
mod attempt;
mod claims;
mod entrance;
mod ready;
mod runs;
mod saving;
mod serving;
mod shadowing;
mod swapping;
mod timing;
mod trying;
mod visits;
mod waiting;
mod writing;

pub use entrance::Doorway;
pub(crate) use waiting::{parked_of, told};

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use waxwing_event::{HandlerSpec, Pattern, Position};

use crate::{
    committer::{Committer, Work},
    entry::{
        Layout, Outage,
        generation::{Generation, Generations, Withheld},
        partitions::Share,
        tombstone,
    },
    gauges::Gauges,
    generations::{self, LookError, Role, gate::Gate},
    inputs::Inputs,
    lease::{Claim, Held, LOOKS_A_LEASE, Taken},
    operators::Operators,
    plan::Planner,
    port::{
        Clock, Log, Observe, Outside,
        log::{CommitError, Entry},
        observe::PartitionChange,
    },
    presence::Living,
    program::Program,
    readings::Readings,
    recovery::{Place, Recovery, RecoveryError},
    roster::Turn,
    standing,
    trace::Sampling,
};
use serving::{End, Serving};

/// How often it is looked whether a switch to another generation is through.
const GIVE_WAY: Duration = Duration::from_millis(20);

/// How long a partition rests after it was interrupted, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How often it is tried to give a lease up.
const RELEASES: u32 = 5;

/// What came of taking the lease.
enum Begun {
    /// Its place is found.
    Here(Box<Here>),
    /// Another generation is live by now.
    Elsewhere,
}

/// A partition that can be served.
struct Here {
    lease: Held,
    inputs: Inputs,
    place: Place,
    operators: mpsc::UnboundedReceiver<Entry>,
}

/// What the generations of a handler mean for a partition.
enum Next {
    /// It runs.
    Runs,
    /// A switch is under way.
    Waits,
    /// It cannot run, for this reason.
    Stops(String),
}

/// Everything that a partition needs.
pub struct Context {
    /// The handler.
    pub spec: Arc<HandlerSpec>,
    /// Which part of it.
    pub share: Share,
    /// What it reads with the other partitions on this host; none where there is only one.
    pub(crate) readings: Option<Arc<Readings>>,
    /// What runs for it.
    pub programs: watch::Receiver<Program>,
    /// Which generation of the handler it runs.
    pub role: Role,
    /// Inputs of which nothing leaves the state.
    pub withheld: Withheld,
    /// Where things stand in the log, for that generation.
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
    /// Which traces that begin here are kept; none: runs are no part of traces.
    pub traces: Option<Sampling>,
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
    /// Whose turn the partition is; none: whoever is first has it.
    pub turn: Option<Turn>,
    /// How often the checkpoint is saved.
    pub checkpoint_every: Duration,
    /// Bytes of state kept in memory.
    pub cache_bytes: NonZeroUsize,
}

impl Context {
    /// Owns and serves the partition, again after each interruption, until `stop`; then finishes what is
    /// under way, unless `abandon` comes first. In the end it gives the lease up.
    pub async fn run(mut self, stop: CancellationToken, abandon: CancellationToken) {
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
    async fn own(&mut self, stop: &CancellationToken, held: &mut Option<Held>) {
        let mut rest = REST.0;
        let mut known = Position::NONE;
        let mut ran = None;
        while self.find_generation(&mut ran, held, stop).await {
            let Some(begun) = self.begin(stop, known, held).await else { return };
            let Begun::Here(here) = begun else {
                self.give_up(held).await;
                continue;
            };
            let Here { lease, inputs, place, operators } = *here;
            if place.had_stopped {
                self.note_stopped(&lease, None);
            }
            // Cancelled also where it gives way to another generation, or to another host.
            let until = stop.child_token();
            let serving = Serving::new(self, lease, (inputs, place), operators, &until).run();
            let turn_ends = async {
                match &self.turn {
                    Some(turn) => turn.is_over().await,
                    None => std::future::pending().await,
                }
                until.cancel();
                std::future::pending::<End>().await
            };
            let end = tokio::select! {
                biased;
                end = serving => end,
                end = turn_ends => end,
            };
            match end {
                End::Drained if stop.is_cancelled() => return,
                End::Drained => {
                    self.give_up(held).await;
                    continue;
                }
                End::Interrupted { why, progressed, seen } => {
                    known = seen;
                    rest = if progressed { REST.0 } else { (rest * 2).min(REST.1) };
                    self.tell(PartitionChange::Interrupted(why));
                    if self.turn.as_ref().is_some_and(|turn| turn.of_another().is_some()) {
                        self.give_up(held).await;
                    }
                }
            }
            if !self.rests(rest, stop).await {
                return;
            }
        }
    }

    /// Lets time pass; false where it must stop first.
    async fn rests(&self, time: Duration, stop: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = self.clock.sleep(time) => true,
        }
    }

    /// Tells what lasts once.
    fn tell_once(&self, told: &mut Option<PartitionChange>, change: PartitionChange) {
        if told.as_ref() != Some(&change) {
            self.tell(change.clone());
            *told = Some(change);
        }
    }

    /// Takes the lease and finds the place; none where it must stop instead. `known` is the highest position
    /// that this host has seen taken.
    async fn begin(
        &mut self,
        stop: &CancellationToken,
        known: Position,
        taken: &mut Option<Held>,
    ) -> Option<Begun> {
        let claim = self.claim();
        let mut told = None;
        loop {
            let Taken { held, in_place_of } = claim.acquire(self.turn.as_ref(), stop).await?;
            *taken = Some(held.clone());
            if let Some((turn, host)) = self.turn.as_mut().zip(in_place_of) {
                turn.pass_over(host);
            }
            // Before the place is found, so that nothing is missed between.
            let operators = self.operators.listen(&self.spec.name);
            let found = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                found = self.find(&held, known) => found,
            };
            match found {
                Ok(None) => return Some(Begun::Elsewhere),
                Ok(Some((inputs, place))) => {
                    let here = Here { lease: held, inputs, place, operators };
                    return Some(Begun::Here(Box::new(here)));
                }
                Err(error) if error.is_passing() => {
                    self.tell_once(&mut told, PartitionChange::Interrupted(error.to_string()));
                    if !self.rests(REST.1, stop).await {
                        return None;
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
        let subject = self.layout.stopped(&self.spec.name, self.share.partition);
        let entry = match why {
            Some(reason) => Outage { since: self.clock.now(), reason }.write(subject),
            None => tombstone::write(subject),
        };
        // Nothing depends on it.
        let done = Box::new(|end: Result<_, CommitError>| drop(end));
        self.committer.submit(Work::under(held, vec![entry], done));
    }

    /// Gives the lease up before it goes on.
    async fn give_up(&self, held: &mut Option<Held>) {
        if let Some(held) = held.take() {
            self.release(&held).await;
        }
    }

    /// Gives the lease up: while this host lives on, nobody else could take it.
    async fn release(&self, held: &Held) {
        for tries_left in (0..RELEASES).rev() {
            match self.claim().release(held).await {
                // Another host has it by now.
                Ok(()) | Err(CommitError::Refused(_)) => break,
                Err(error) => {
                    tracing::warn!(handler = %self.spec.name, %error, tries_left, "the lease was not given up");
                }
            }
            if tries_left > 0 {
                self.clock.sleep(REST.1).await;
            }
        }
        if let Some(turn) = &self.turn {
            turn.roster.gave_up(&held.subject);
        }
        self.tell(PartitionChange::Released);
    }

    /// The place of a partition whose lease is held; none where the lease is no more that of the generation to run.
    async fn find(&self, held: &Held, known: Position) -> Result<Option<(Inputs, Place)>, RecoveryError> {
        let (generations, _) = self.look().await?;
        if !self.is_to_run(&generations).await? {
            return Ok(None);
        }
        let mut inputs = Inputs::open(&self.log, &self.outside, &self.spec).await?;
        let recovery = Recovery {
            log: self.log.as_ref(),
            layout: &self.layout,
            events: &self.events,
            spec: &self.spec,
            share: self.share.clone(),
            divided_by: &generations.key,
            inputs: &inputs,
        };
        let mut place = recovery.find(held, known).await?;
        if let Role::Builds(build) = &self.role {
            inputs.entries = Arc::new(Gate::new(inputs.entries, build.until.clone()));
            // The timers are those of the live one, and it is the handler that is paused.
            (place.timers, place.fired, place.paused) = (Vec::new(), Vec::new(), false);
        }
        Ok(Some((inputs, place)))
    }

    /// Finds which generation is to run; false where it must stop first. `ran` is the one that has run here.
    async fn find_generation(
        &mut self,
        ran: &mut Option<Generation>,
        held: &mut Option<Held>,
        stop: &CancellationToken,
    ) -> bool {
        let mut told = None;
        loop {
            let found = tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                found = self.look_and_follow(*ran) => found,
            };
            let (change, rest) = match found {
                Ok(Next::Runs) => {
                    *ran = Some(self.layout.generation(&self.spec.name));
                    return true;
                }
                Ok(Next::Waits) => {
                    self.give_up(held).await;
                    (None, GIVE_WAY)
                }
                Ok(Next::Stops(why)) => {
                    self.give_up(held).await;
                    (Some(PartitionChange::Stopped(why)), REST.1)
                }
                Err(error @ LookError::Damaged(_)) => {
                    (Some(PartitionChange::Stopped(error.to_string())), REST.1)
                }
                Err(error @ LookError::Read(_)) => {
                    (Some(PartitionChange::Interrupted(error.to_string())), REST.1)
                }
            };
            if let Some(change) = change {
                self.tell_once(&mut told, change);
            }
            if !self.rests(rest, stop).await {
                return false;
            }
        }
    }

    /// Goes on with the generation of its role.
    async fn look_and_follow(&mut self, ran: Option<Generation>) -> Result<Next, LookError> {
        let (generations, position) = self.look().await?;
        let (generation, withheld) = match &self.role {
            Role::Live => (generations.live, generations.withheld.clone()),
            Role::Builds(build) => (build.generation, Withheld::everything()),
        };
        self.layout = self.layout.at(&self.spec.name, generation);
        self.planner = Planner::new(self.layout.clone(), &self.spec);
        self.withheld = withheld;
        let (own, is_decided_since) = {
            let program = self.programs.borrow();
            (program.digest(), program.decided > position)
        };
        Ok(match (self.is_to_run(&generations).await?, &self.role, generations.module) {
            (false, Role::Builds(_), _) => {
                Next::Stops("what is built was removed, or is live by now".to_owned())
            }
            (false, Role::Live, _) => Next::Waits,
            // Begun with another module, this host may not understand the state.
            // What was decided after the switch is meant for what is live.
            (true, Role::Live, Some(module))
                if module != own && ran.is_some_and(|ran| ran != generation) && !is_decided_since =>
            {
                Next::Stops(format!(
                    "generation {generation} of the handler is live by now, which the module {module} has built; this \
                     host began with {own}: restart it"
                ))
            }
            (true, ..) => Next::Runs,
        })
    }

    async fn look(&self) -> Result<(Generations, Position), LookError> {
        generations::look(self.log.as_ref(), &self.layout, &self.spec.name).await
    }

    /// Whether this partition's generation may run.
    async fn is_to_run(&self, generations: &Generations) -> Result<bool, LookError> {
        let own = self.layout.generation(&self.spec.name);
        if let Role::Builds(_) = self.role {
            return Ok(generations.standing_other().is_some_and(|other| other.generation == own));
        }
        let switcher =
            generations::switcher(self.log.as_ref(), &self.layout, generations, Some(&self.host)).await?;
        // By an older decision, an older version would run once more.
        let decided = standing::decided(self.log.as_ref(), &self.layout, &self.spec.name).await?;
        let is_live = generations.live == own && generations.partitions == self.share.partitions;
        Ok(is_live && switcher.is_none() && decided == self.programs.borrow().decided)
    }

    fn claim(&self) -> Claim {
        Claim {
            log: self.log.clone(),
            clock: self.clock.clone(),
            observe: self.observe.clone(),
            layout: self.layout.clone(),
            handler: self.spec.name.clone(),
            partition: self.share.partition,
            subject: self.layout.lease(&self.spec.name, self.share.partition),
            host: self.host.clone(),
            look_every: self.lease / LOOKS_A_LEASE,
        }
    }

    fn tell(&self, change: PartitionChange) {
        self.observe.partition(&self.spec.name, self.share.partition, &change);
    }
}
