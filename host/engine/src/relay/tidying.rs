//! Tidying: what is out is removed from the log.
//!
//! An entry of the outbox is also a mark: it says which input its run handled. So it is removed only where the
//! handler's checkpoint counts it, too.

use std::sync::Arc;

use waxwing_event::{HandlerName, Position};

use crate::{
    entry::{Checkpoint, Layout, Partition, Relayed},
    generations,
    port::Log,
};

/// Removes what is out and counted. What fails is done the next time.
pub(super) async fn run(log: Arc<dyn Log>, layout: Layout, handler: HandlerName, relayed: Relayed) {
    let layout = match generations::live(log.as_ref(), &layout, &handler).await {
        Ok(live) => live,
        Err(error) => return tracing::debug!(%handler, %error, "the outbox is tidied later"),
    };
    let last = match log.last(&layout.checkpoint(&handler, Partition(0))).await {
        Ok(checkpoint) => {
            let counted = checkpoint.and_then(|entry| Checkpoint::read(&entry).ok());
            counted.map_or(Position::NONE, |counted| counted.marks_after.min(relayed.up_to))
        }
        Err(error) => return tracing::debug!(%handler, %error, "the outbox is tidied later"),
    };
    if last == Position::NONE {
        return;
    }
    if let Err(error) = log.remove(&layout.outboxes(Some(&handler)), last).await {
        tracing::warn!(%handler, %error, "events that are out cannot be removed from the outbox yet");
    }
}
