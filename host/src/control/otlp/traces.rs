//! Spans on their way to the receiver: a bounded number waits in memory; what finds no room, or no receiver, is dropped. No
//! event waits for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanProcessor};
use waxwing_engine::{
    entry::Partition,
    port::{
        Observe,
        observe::{Handled, PartitionChange, Visited},
    },
};
use waxwing_event::{HandlerName, HandlerSpec};

use super::{OtlpError, receiver::Receiver, span};
use crate::assemble::Showing;

/// Spans that may wait to be sent.
const WAITING: usize = 1 << 14;
/// Spans in one message.
const BATCH: usize = 1 << 10;
/// How long spans may wait for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the last of them may take to get away.
const LAST: Duration = Duration::from_secs(2);

/// Sends spans.
pub(super) struct Traces {
    processor: BatchSpanProcessor,
    showing: OnceLock<Showing>,
    specs: Mutex<HashMap<HandlerName, Option<Arc<HandlerSpec>>>>,
}

impl Traces {
    /// To this receiver.
    pub(super) fn new(receiver: &Receiver) -> Result<Traces, OtlpError> {
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let mut processor = BatchSpanProcessor::builder(receiver.spans()?).with_batch_config(batches).build();
        processor.set_resource(receiver.resource());
        Ok(Traces { processor, showing: OnceLock::new(), specs: Mutex::default() })
    }

    /// What the host shows of its handlers, once it has begun: spans are named by their subjects' patterns.
    pub(super) fn of(&self, showing: Showing) {
        let _ = self.showing.set(showing);
        self.specs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends what waits. It blocks, for a while at most.
    pub(super) fn end(&self) {
        // Who cannot be reached at the end hears nothing of it.
        let _ = self.processor.shutdown_with_timeout(LAST);
    }

    fn send(&self, spans: impl IntoIterator<Item = SpanData>) {
        spans.into_iter().for_each(|span| self.processor.on_end(span));
    }

    /// What the manifest says of a handler, as far as it is known by now.
    fn spec(&self, handler: &HandlerName) -> Option<Arc<HandlerSpec>> {
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = specs.get(handler) {
            return known.clone();
        }
        let hosted = self.showing.get().and_then(Showing::hosted)?;
        let spec = hosted.into_iter().map(|(spec, _)| spec).find(|spec| spec.name == *handler);
        specs.insert(handler.clone(), spec.clone());
        spec
    }
}

impl Observe for Traces {
    fn handled(&self, handled: &Handled<'_>) {
        if let Some(run) = span::Run::of_handled(handled) {
            self.send(run.spans(self.spec(handled.handler).as_deref(), SystemTime::now()));
        }
    }

    fn visited(&self, visited: &Visited<'_>) {
        if let Some(run) = span::Run::of_visited(visited) {
            self.send(run.spans(self.spec(visited.handler).as_deref(), SystemTime::now()));
        }
    }

    fn partition(&self, handler: &HandlerName, _: Partition, change: &PartitionChange) {
        // Another version may be for other subjects.
        if matches!(change, PartitionChange::Swapped { .. } | PartitionChange::Started { .. }) {
            self.specs.lock().unwrap_or_else(PoisonError::into_inner).remove(handler);
        }
    }
}
