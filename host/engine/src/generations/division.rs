//! The division: a handler's inputs are divided into another number of partitions, in one commit.
//!
//! While the handler stands still, it is known of each input whether it is handled. Every partition there is from then on
//! begins where the last of the former ones was, and leaves out what they had handled: see
//! [`Former`]. What waits (parked events, timers, dead letters that hold their key) goes
//! with its key.

use tokio_util::sync::CancellationToken;
use waxwing_event::Position;

use super::standstill::{Asks, StandstillError};
use crate::{
    entry::{
        Checkpoint, Partitions,
        generation::{Generations, Kind},
        partitions::Former,
    },
    port::log::NewEntry,
};

/// Why a handler was not divided. It goes on as it is.
#[derive(Debug, thiserror::Error)]
pub enum DivisionError {
    /// A generation is being built, from the inputs of one partition.
    #[error(
        "generation {0} is being built beside the live one: the partitions change when it is done, or discarded"
    )]
    Builds(crate::entry::generation::Generation),
    /// It does not stand still.
    #[error(transparent)]
    Standstill(#[from] StandstillError),
}

/// Divides the inputs into so many partitions, unless they are already, or `stop` comes before their owners have given
/// way. True where it did.
pub async fn divide(
    asks: &Asks,
    partitions: Partitions,
    stop: &CancellationToken,
) -> Result<bool, DivisionError> {
    let mut builds = None;
    let may = |generations: &Generations| {
        let other = generations.standing_other().filter(|other| other.kind == Kind::Built);
        builds = other.map(|other| other.generation);
        generations.partitions != partitions && builds.is_none()
    };
    let still = asks.begin(may, stop).await?;
    if let Some(generation) = builds {
        return Err(DivisionError::Builds(generation));
    }
    let Some(still) = still else { return Ok(false) };
    let former = still.handled();
    let checkpoint = Checkpoint {
        watermark: former.iter().map(Former::watermark).max().unwrap_or_default(),
        handled: Vec::new(),
        marks_after: still.fence(),
        origin: still.origin.clone(),
        former: Vec::new(),
    };
    let watermark = checkpoint.watermark;
    let checkpoint = Checkpoint { former: beyond(former, watermark), ..checkpoint };
    let name = &asks.spec.name;
    let subjects = partitions.all().map(|partition| still.layout.checkpoint(name, partition));
    let checkpoints: Vec<NewEntry> = subjects.map(|subject| checkpoint.write(subject)).collect();
    let key = asks.spec.key.iter().map(ToString::to_string).collect();
    let after = Generations { partitions, key, ..still.before.clone() };
    still.end(after, checkpoints).await?;
    Ok(true)
}

/// What is told that lies beyond the watermark.
fn beyond(mut former: Vec<Former>, watermark: Position) -> Vec<Former> {
    former.retain(|former| former.reaches() > watermark);
    former
}
