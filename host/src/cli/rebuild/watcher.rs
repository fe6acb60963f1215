//! Watches what becomes of a generation that is built.

use tokio::sync::watch;
use waxwing_engine::entry::Partition;
use waxwing_engine::port::{
    Observe,
    observe::{Handled, PartitionChange},
};
use waxwing_event::HandlerName;

use crate::cli::{
    output::line,
    style::{END, WARN},
};

/// Knows why it cannot go on, where it cannot.
pub(super) struct Watcher {
    stopped: watch::Sender<Option<String>>,
}

impl Watcher {
    pub(super) fn new() -> Watcher {
        Watcher { stopped: watch::Sender::new(None) }
    }

    /// Waits until it cannot go on, and says why.
    pub(super) async fn stopped(&self) -> String {
        let mut stopped = self.stopped.subscribe();
        // The sender lives in self, so the wait cannot fail.
        let why = stopped.wait_for(Option::is_some).await.ok();
        why.and_then(|why| why.clone()).unwrap_or_default()
    }
}

impl Observe for Watcher {
    fn handled(&self, _: &Handled<'_>) {}

    fn partition(&self, _: &HandlerName, _: Partition, change: &PartitionChange) {
        match change {
            PartitionChange::Stopped(why) => drop(self.stopped.send_replace(Some(why.clone()))),
            PartitionChange::Waiting { owner } => {
                anstream::eprintln!("waiting: `{}` builds it, or did a moment ago", line(owner));
            }
            PartitionChange::Interrupted(why) => {
                anstream::eprintln!("{WARN}warning:{END} interrupted, it goes on by itself: {}", line(why));
            }
            PartitionChange::Outage { reason } => {
                anstream::eprintln!(
                    "{WARN}warning:{END} its events fail one after another: {}",
                    line(reason)
                );
            }
            PartitionChange::Started { .. }
            | PartitionChange::Swapped { .. }
            | PartitionChange::Judged(_)
            | PartitionChange::OutageOver
            | PartitionChange::Paused
            | PartitionChange::Resumed
            | PartitionChange::Released => {}
        }
    }
}
