//! Tells how many live messages of a handler were shed: at once, and then at most once a second.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use waxwing_event::HandlerName;

use crate::{
    door::Door,
    port::{Clock, Observe},
};

/// The least time from one telling to the next.
pub const TELL_EVERY: Duration = Duration::from_secs(1);

/// Tells it until `end`, and then what is left to tell.
pub async fn tell(
    handler: HandlerName,
    door: Door,
    clock: Arc<dyn Clock>,
    observe: Arc<dyn Observe>,
    end: CancellationToken,
) {
    let tell = || match door.take_shed() {
        0 => {}
        count => observe.shed(&handler, count),
    };
    let rounds = async {
        loop {
            door.has_shed().await;
            tell();
            clock.sleep(TELL_EVERY).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = end.cancelled() => {}
    }
    tell();
}
