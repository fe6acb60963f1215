//! Tidying: what is out is removed from the log.
//!
//! An entry of the outbox is also a mark: it says which input its run handled. So it is removed only where the
//! checkpoints of all the handler's partitions count it, too.

use std::sync::Arc;

use waxwing_event::{HandlerName, Position};

use crate::{
    entry::{Checkpoint, Layout, Relayed},
    generations::{self, LookError},
    port::Log,
};

/// Removes what is out and counted. What fails is done the next time.
pub(super) async fn run(log: Arc<dyn Log>, layout: Layout, handler: HandlerName, relayed: Relayed) {
    let last = match counted(log.as_ref(), &layout, &handler).await {
        Ok(counted) => counted.min(relayed.up_to),
        Err(error) => return tracing::debug!(%handler, %error, "the outbox is tidied later"),
    };
    if last == Position::NONE {
        return;
    }
    if let Err(error) = log.remove(&layout.outboxes(Some(&handler)), last).await {
        tracing::warn!(%handler, %error, "events that are out cannot be removed from the outbox yet");
    }
}

/// Up to where all marks are counted.
async fn counted(log: &dyn Log, layout: &Layout, handler: &HandlerName) -> Result<Position, LookError> {
    let layout = generations::live(log, layout, handler).await?;
    let mut counted = Position(u64::MAX);
    for partition in layout.partitions(handler) {
        let checkpoint = log.last(&layout.checkpoint(handler, partition)).await?;
        let checkpoint = checkpoint.and_then(|entry| Checkpoint::read(&entry).ok());
        counted = counted.min(checkpoint.map_or(Position::NONE, |checkpoint| checkpoint.marks_after));
    }
    Ok(counted)
}
