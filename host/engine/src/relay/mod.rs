//! The relay: brings what a handler's runs have left in the outbox to subjects outside the log.
//!
//! One host relays a handler's outbox, under a lease of its own. It reads the outbox in the order of the log,
//! sends each event with its id, and notes now and then how far it has come; after a crash the next owner goes
//! on from there, so an event may be sent again, with the same id.
//!
//! | module | what it does |
//! | --- | --- |
//! | `window` | what is on its way, in order |
//! | `verdict` | pure: what is done about a failure |
//! | `relaying` | the loop, while the lease holds |
//! | `tidying` | removes what is out |

mod relaying;
mod tidying;
mod verdict;
mod window;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use waxwing_event::HandlerSpec;

use self::relaying::Relaying;
use crate::{
    committer::Committer,
    entry::{Layout, Partition},
    gauges::Gauges,
    lease::{Claim, Held, LOOKS_A_LEASE, Taken},
    port::{
        Clock, Log, Observe,
        observe::{OutboxChange, Unobserved},
        outside::Publish,
    },
};

/// How long a relay rests after it was interrupted, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How relaying ended.
enum End {
    /// It was asked to stop, and where it stands is saved.
    Drained,
    /// It cannot go on as it is.
    Interrupted {
        /// For people.
        why: String,
        /// True where something went out since it began.
        progressed: bool,
    },
}

/// The relay of one handler's outbox on this host.
pub struct Relay {
    /// The handler.
    pub spec: Arc<HandlerSpec>,
    /// Where things stand in the log.
    pub layout: Layout,
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// Writes where it stands.
    pub committer: Committer,
    /// Takes what goes out.
    pub publish: Arc<dyn Publish>,
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
    /// How often it notes where it stands.
    pub save_every: Duration,
}

impl Relay {
    /// Relays, again after each interruption, until `stop`; then lets what is under way come to its end, unless
    /// `abandon` comes first.
    pub async fn run(self, stop: CancellationToken, abandon: CancellationToken) {
        let claim = self.claim();
        let mut rest = REST.0;
        loop {
            let Some(Taken { held, .. }) = claim.acquire(None, &stop).await else { return };
            let end = tokio::select! {
                biased;
                () = abandon.cancelled() => return,
                end = Relaying::run(&self, held.clone(), &stop) => end,
            };
            match end {
                End::Drained => return self.release(&held).await,
                End::Interrupted { why, progressed } => {
                    rest = if progressed { REST.0 } else { (rest * 2).min(REST.1) };
                    self.tell(&OutboxChange::Interrupted(why));
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.release(&held).await,
                () = self.clock.sleep(rest) => {}
            }
        }
    }

    async fn release(&self, held: &Held) {
        if let Err(error) = self.claim().release(held).await {
            tracing::warn!(handler = %self.spec.name, %error, "the outbox was not given up: another host waits for its time");
        }
        self.tell(&OutboxChange::Released);
    }

    fn claim(&self) -> Claim {
        Claim {
            log: self.log.clone(),
            clock: self.clock.clone(),
            // That another host relays says nothing of the handler's partitions.
            observe: Arc::new(Unobserved),
            layout: self.layout.clone(),
            handler: self.spec.name.clone(),
            partition: Partition(0),
            subject: self.layout.relay(&self.spec.name),
            host: self.host.clone(),
            look_every: self.lease / LOOKS_A_LEASE,
        }
    }

    fn tell(&self, change: &OutboxChange) {
        self.observe.outbox(&self.spec.name, change);
    }
}
