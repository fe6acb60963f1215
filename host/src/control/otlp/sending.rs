//! What is sent, and when.

use std::sync::Arc;

use opentelemetry_sdk::metrics::{MeterProviderBuilder, PeriodicReader};
use waxwing_engine::port::Observe;
use waxwing_event::AppName;

use super::{OtlpError, receiver::Receiver, traces::Traces};
use crate::assemble::Showing;

/// Sends metrics and traces.
pub struct Otlp {
    receiver: Receiver,
    traces: Arc<Traces>,
}

impl Otlp {
    /// To the receiver at this address, of what the host `host` of this app does.
    pub fn new(address: &str, app: &AppName, host: &str) -> Result<Otlp, OtlpError> {
        let receiver = Receiver::new(address, app, host)?;
        let traces = Arc::new(Traces::new(&receiver)?);
        Ok(Otlp { receiver, traces })
    }

    /// Makes spans of what it hears.
    pub fn observer(&self) -> Arc<dyn Observe> {
        self.traces.clone()
    }

    /// Reads what is counted and measured, now and then: by default each minute.
    pub fn reads(&self, provider: MeterProviderBuilder) -> Result<MeterProviderBuilder, OtlpError> {
        let reader = PeriodicReader::builder(self.receiver.metrics()?).build();
        Ok(provider.with_reader(reader).with_resource(self.receiver.resource().clone()))
    }

    /// What the host shows of its handlers, once it has begun.
    pub fn of(&self, showing: Showing) {
        self.traces.of(showing);
    }

    /// Sends the last spans. It blocks, for a while at most.
    pub fn end(&self) {
        self.traces.end();
    }
}
