//! Metrics: what a host counts and measures, as Prometheus asks for it.
//!
//! One set of OpenTelemetry instruments. What happens to each event is counted as it happens, by bound instruments; how full
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

use std::{collections::HashSet, sync::Arc};

use opentelemetry::{Key, KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use waxwing_engine::{
    entry::{Layout, Partition},
    port::{
        Log, Observe,
        observe::{Commit, Handled, OutboxChange, PartitionChange, Visited},
    },
};
use waxwing_event::{AppName, HandlerName};

use self::{events::Events, lag::Lag, levels::Levels};
use crate::{assemble::Showing, nats::Target};

/// What all names begin with.
const NAMESPACE: &str = "waxwing";
/// The label that names the app.
const APP: &str = "app";

/// What a host counts and measures.
pub struct Metrics {
    registry: Registry,
    events: Events,
    levels: Arc<Levels>,
    next: Arc<dyn Observe>,
    _provider: SdkMeterProvider,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be kept: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// Of a host that runs this app; `next` hears of everything, too.
    pub fn new(app: &AppName, next: Arc<dyn Observe>) -> Result<Metrics, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .with_namespace(NAMESPACE)
            .scope_info_enabled(false)
            .without_target_info()
            .with_resource_selector(HashSet::from([Key::new(APP)]))
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let resource = Resource::builder_empty().with_attribute(KeyValue::new(APP, app.to_string())).build();
        let provider = SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build();
        let meter = provider.meter(NAMESPACE);
        let levels = Arc::<Levels>::default();
        levels.show(&meter);
        Ok(Metrics { registry, events: Events::new(meter), levels, next, _provider: provider })
    }

    /// What it reads besides, once the host has begun.
    pub fn of(&self, showing: Showing, log: Arc<dyn Log>, target: Target, layout: Layout) {
        self.levels.of(showing, log, Lag::new(target, layout));
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
        self.next.handled(handled);
    }

    fn visited(&self, visited: &Visited<'_>) {
        self.events.visited(visited);
        self.next.visited(visited);
    }

    fn shed(&self, handler: &HandlerName, count: u64) {
        self.next.shed(handler, count);
    }

    fn partition(&self, handler: &HandlerName, partition: Partition, change: &PartitionChange) {
        self.events.partition(handler, change);
        self.next.partition(handler, partition, change);
    }

    fn committed(&self, commit: &Commit) {
        self.events.committed(commit);
        self.next.committed(commit);
    }

    fn outbox(&self, handler: &HandlerName, change: &OutboxChange) {
        self.next.outbox(handler, change);
    }

    fn asks_what_was_written(&self) -> bool {
        self.next.asks_what_was_written()
    }
}
