//! Metrics: what a host counts and measures, as Prometheus asks for it.
//!
//! One set of OpenTelemetry instruments, read as Prometheus' text and, where it is wished, sent over OTLP. What happens to each event is counted as it happens, by bound instruments; how full
//! everything is stands in the engine's gauges, and is read when somebody asks.
//!
//! | module | noun |
//! | --- | --- |
//! | `events` | what happens to events, heard of as an observer |
//! | `levels` | what the engine's gauges, the sandbox and the log show |
//! | `lag` | how many entries are not handled, of which the server is asked |

mod events;
mod lag;
mod levels;

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opentelemetry::{Key, KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use tokio_util::task::AbortOnDropHandle;
use waxwing_engine::{
    entry::{Layout, Partition},
    port::{
        Log, Observe,
        observe::{Commit, Handled, PartitionChange, Visited},
    },
};
use waxwing_event::{AppName, HandlerName};

use self::{events::Events, lag::Lag, levels::Levels};
use super::Otlp;
use crate::{assemble::Showing, nats::Target};

/// Who measures.
const SCOPE: &str = "waxwing";
/// How often levels are looked at for those who do not ask.
const LOOKS: Duration = Duration::from_secs(5);
/// How long the last of what is sent may take.
const LAST: Duration = Duration::from_secs(2);
/// The label that names the app.
const APP: &str = "app";

/// What a host counts and measures.
pub struct Metrics {
    registry: Registry,
    events: Events,
    levels: Arc<Levels>,
    provider: SdkMeterProvider,
    /// Looks at levels for those who do not ask.
    looks: OnceLock<AbortOnDropHandle<()>>,
    is_sent: bool,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be kept: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// Of a host that runs this app, sent there where that is wished.
    pub fn new(app: &AppName, sent: Option<&Otlp>) -> Result<Metrics, MetricsError> {
        let failed = |error: &dyn std::error::Error| MetricsError(error.to_string());
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .with_resource_selector(HashSet::from([Key::new(APP)]))
            .build()
            .map_err(|error| failed(&error))?;
        let mut provider = SdkMeterProvider::builder().with_reader(exporter);
        if let Some(otlp) = sent {
            provider = otlp.reads(provider).map_err(|error| failed(&error))?;
        }
        let resource = Resource::builder_empty().with_attribute(KeyValue::new(APP, app.to_string())).build();
        let provider = provider.with_resource(resource).build();
        let meter = provider.meter(SCOPE);
        let levels = Arc::<Levels>::default();
        levels.show(&meter);
        let (looks, is_sent) = (OnceLock::new(), sent.is_some());
        Ok(Metrics { registry, events: Events::new(meter), levels, provider, looks, is_sent })
    }

    /// What it reads besides, once the host has begun.
    pub fn of(&self, showing: Showing, log: Arc<dyn Log>, target: Target, layout: Layout) {
        self.levels.of(showing, log, Lag::new(target, layout));
        if self.is_sent {
            let levels = self.levels.clone();
            let look = async move {
                let mut ticks = tokio::time::interval(LOOKS);
                loop {
                    ticks.tick().await;
                    levels.refresh().await;
                }
            };
            let _ = self.looks.set(AbortOnDropHandle::new(tokio::spawn(look)));
        }
    }

    /// Sends what was not sent. It blocks, for a while at most.
    pub fn end(&self) {
        // Who cannot be reached at the end hears nothing of it.
        let _ = self.provider.shutdown_with_timeout(LAST);
    }

    /// All of it, in Prometheus' text format, version 0.0.4.
    pub async fn text(&self) -> Result<String, MetricsError> {
        self.levels.refresh().await;
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.map_err(|error| MetricsError(error.to_string()))
    }
}

impl Observe for Metrics {
    fn handled(&self, handled: &Handled<'_>) {
        self.events.handled(handled);
    }

    fn visited(&self, visited: &Visited<'_>) {
        self.events.visited(visited);
    }

    fn partition(&self, handler: &HandlerName, _: Partition, change: &PartitionChange) {
        self.events.partition(handler, change);
    }

    fn committed(&self, commit: &Commit) {
        self.events.committed(commit);
    }
}
