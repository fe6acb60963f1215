//! The switch: another generation of a handler becomes the live one, in one commit.
//!
//! The live one is brought to a [standstill](super::standstill): so nobody answers from the old one any more when the
//! new one goes on. That also says exactly what the old one has handled. What it has emitted for that, the new one leaves
//! out.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use waxwing_event::{Digest, Position};

use super::{
    LookError,
    standstill::{Asks, Standstill, StandstillError},
};
use crate::{
    entry::{
        Checkpoint, DeadLetter, Layout, Partition,
        generation::{Generation, Generations, Kind, Other},
        timer, tombstone,
    },
    lease,
    port::log::{NewEntry, Part},
    recovery::Place,
};

/// Switches a handler from one generation to another.
pub struct Switch {
    /// Brings the live one to a standstill.
    pub asks: Asks,
    /// The module that has built the other generation.
    pub module: Digest,
    /// True where it switches though events of the live generation wait.
    pub leaves_what_waits: bool,
}

/// Why a handler was not switched. The live generation goes on.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// There is no such generation.
    #[error("there is no generation {0} to switch to: somebody has removed it, or switched already")]
    Gone(Generation),
    /// The live one is divided; what is built is not.
    #[error(
        "the handler has {0} partitions by now: a generation can be built of one with a single partition; set `partitions` \
         to 1, build and switch, and set it again"
    )]
    Divided(u32),
    /// What the live one has still to do would be lost.
    #[error(
        "{0} events wait in the live generation for an attempt, or are events of timers and dead letters; what they \
         would emit, and their timers, would be lost: wait, or decide about them (`waxwing parked ls`, `waxwing dead \
         ls`), and switch again"
    )]
    Waiting(usize),
    /// What the live one has handled is not told by one watermark.
    #[error("the live generation has not caught up with its former partitions yet: switch again in a moment")]
    CatchesUp,
    /// It does not stand still.
    #[error(transparent)]
    Standstill(#[from] StandstillError),
}

impl From<LookError> for SwitchError {
    fn from(error: LookError) -> SwitchError {
        SwitchError::Standstill(error.into())
    }
}

/// A switch under way: nobody runs the live generation.
pub struct Handover<'a> {
    switch: &'a Switch,
    to: Other,
    still: Standstill<'a>,
    place: Place,
    /// Dead letters of the live generation.
    dead: BTreeSet<Position>,
}

impl Switch {
    /// Lets the owner of the live generation give way, unless `stop` comes before it has.
    pub async fn begin(&self, to: Generation, stop: &CancellationToken) -> Result<Handover<'_>, SwitchError> {
        let Asks { ports, layout, spec, host, .. } = &self.asks;
        let builder =
            lease::owner(ports.log.as_ref(), &layout.at(&spec.name, to), &spec.name, Partition(0)).await;
        if let Some(builder) = builder.map_err(LookError::from)?.filter(|builder| builder != host) {
            return Err(StandstillError::Switching(builder).into());
        }
        let (mut other, mut partitions) = (None, 1);
        let may = |generations: &Generations| {
            let is_whole = |other: &&Other| matches!(other.kind, Kind::Built | Kind::Former);
            let is_it = |other: &&Other| other.generation == to;
            other = generations.other.as_ref().filter(is_it).filter(is_whole).cloned();
            partitions = generations.partitions.0.get();
            other.is_some() && partitions == 1
        };
        let still = self.asks.begin(may, stop).await?;
        let (Some(mut still), Some(to)) = (still, other) else {
            return Err(if partitions == 1 {
                SwitchError::Gone(to)
            } else {
                SwitchError::Divided(partitions)
            });
        };
        let place = still.places.pop().unwrap_or_default();
        match self.dead_letters(&still.layout, &place).await {
            Ok(dead) => Ok(Handover { switch: self, to, still, place, dead }),
            Err(error) => {
                still.give_up().await;
                Err(error)
            }
        }
    }

    /// The dead letters of the live generation, unless something waits in it.
    async fn dead_letters(&self, layout: &Layout, place: &Place) -> Result<BTreeSet<Position>, SwitchError> {
        let Asks { ports, spec, .. } = &self.asks;
        let (mut dead, mut dead_timers) = (BTreeSet::new(), 0);
        let letters = layout.dead_letters(Some(&spec.name));
        let letters = ports.log.last_of_each(&letters, Part::Headers, usize::MAX).await;
        for entry in letters.map_err(LookError::from)? {
            if tombstone::is(&entry) {
                continue;
            }
            dead.extend(Layout::position(&entry.subject));
            let original = DeadLetter::read(entry).map(|letter| letter.about.original);
            dead_timers += usize::from(original.is_ok_and(|original| timer::is_on(&original.subject)));
        }
        // Parked events count as handled, but their effects are still to come; the events of timers are nowhere else.
        let waiting = place.parked.len() + dead_timers;
        if !place.former.is_empty() {
            return Err(SwitchError::CatchesUp);
        }
        if waiting > 0 && !self.leaves_what_waits {
            return Err(SwitchError::Waiting(waiting));
        }
        Ok(dead)
    }
}

impl Handover<'_> {
    /// Up to where the live generation has handled everything.
    pub fn watermark(&self) -> Position {
        self.place.watermark
    }

    /// Makes the other generation the live one, in one commit, which holds these entries as well.
    pub async fn finish(self, also: Vec<NewEntry>) -> Result<Generations, SwitchError> {
        let Handover { switch, to, still, place, dead } = self;
        let Place { watermark, handled, .. } = place;
        let withheld = still.before.withheld.after(watermark, &handled, dead);
        let checkpoint = Checkpoint {
            watermark,
            handled: handled.into_iter().collect(),
            marks_after: still.fence(),
            origin: still.origin.clone(),
            former: Vec::new(),
        };
        let Generations { live, module, highest, partitions, key, .. } = still.before.clone();
        let switched = Generations {
            live: to.generation,
            module: Some(switch.module),
            withheld,
            other: Some(Other { generation: live, module, kind: Kind::Former }),
            gives_way_to: None,
            highest,
            partitions,
            key,
        };
        let mut entries =
            vec![checkpoint.write(still.layout.checkpoint(&switch.asks.spec.name, Partition(0)))];
        entries.extend(also);
        Ok(still.end(switched, entries).await?)
    }

    /// Leaves everything as it was.
    pub async fn give_up(self) {
        self.still.give_up().await;
    }
}
