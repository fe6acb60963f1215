//! How many entries of what a handler reads are not handled. The server counts them, when somebody asks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use async_nats::jetstream;
use tokio::{sync::Mutex, time::Instant};
use waxwing_engine::{
    entry::Layout,
    gauges::{Gauges, HandlerGauges},
};
use waxwing_event::{HandlerName, HandlerSpec, Position};
use waxwing_log::jetstream::Link;

use crate::nats::{self, Target};

/// How long a count holds, so that many who ask cost the server little.
const HOLDS: Duration = Duration::from_secs(5);
/// How long the server may take to count.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server.
pub(super) struct Lag {
    target: Target,
    layout: Layout,
    link: Mutex<Option<Link>>,
    counted: Mutex<Option<(Instant, BTreeMap<HandlerName, u64>)>>,
    /// True once it was said that the server does not count.
    said: AtomicBool,
}

impl Lag {
    pub(super) fn new(target: Target, layout: Layout) -> Lag {
        Lag {
            target,
            layout,
            link: Mutex::default(),
            counted: Mutex::default(),
            said: AtomicBool::new(false),
        }
    }

    /// By handler; those are missing of which it is not known.
    pub(super) async fn count(
        &self,
        handlers: &[(Arc<HandlerSpec>, HandlerGauges)],
    ) -> BTreeMap<HandlerName, u64> {
        let mut counted = self.counted.lock().await;
        if let Some((at, known)) = counted.as_ref()
            && at.elapsed() < HOLDS
        {
            return known.clone();
        }
        let asked = tokio::time::timeout(PATIENCE, self.ask(handlers)).await;
        let known = match asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time"))) {
            Ok(known) => known,
            Err(error) => {
                // The metric is missing, which alerts see.
                if !self.said.swap(true, Relaxed) {
                    tracing::warn!(error = %format!("{error:#}"), "how far handlers are behind cannot be counted");
                }
                BTreeMap::new()
            }
        };
        *counted = Some((Instant::now(), known.clone()));
        known
    }

    async fn ask(
        &self,
        handlers: &[(Arc<HandlerSpec>, HandlerGauges)],
    ) -> Result<BTreeMap<HandlerName, u64>> {
        let mut link = self.link.lock().await;
        let alive = match link.take().filter(|link| !link.is_dead()) {
            Some(alive) => alive,
            None => self.target.connect("metrics").await?,
        };
        let context = jetstream::new(alive.client().clone());
        *link = Some(alive);
        let mut counted = BTreeMap::new();
        for (spec, gauges) in handlers {
            let Some(watermark) = watermark(gauges) else { continue };
            let stream = context.get_stream(self.layout.read_by(spec)).await?;
            let ahead = nats::pending(&stream, Position(watermark).next(), &spec.on).await?;
            counted.insert(spec.name.clone(), ahead);
        }
        Ok(counted)
    }
}

/// Up to where everything is handled of the partitions that are served here; none where none is.
fn watermark(gauges: &HandlerGauges) -> Option<u64> {
    let all = gauges.all();
    let served = all.iter().filter(|gauges| Gauges::read(&gauges.serving) > 0);
    served.map(|gauges| Gauges::read(&gauges.watermark)).min()
}
