//! An exporter of spans that tells the host's log when nobody takes them, and when somebody does again.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

/// How often it is told at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Sends by another exporter.
#[derive(Debug)]
pub(super) struct Telling<E> {
    inner: E,
    address: String,
    /// Spans that nobody has taken since it was told last.
    lost: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl<E> Telling<E> {
    /// To the receiver at this address.
    pub(super) fn new(inner: E, address: &str) -> Telling<E> {
        Telling { inner, address: address.to_owned(), lost: AtomicU64::new(0), told: Mutex::default() }
    }

    fn tell(&self, ended: &OTelSdkResult, count: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let address = &self.address;
        match ended {
            Ok(()) if told.take().is_some() => {
                let lost = self.lost.swap(0, Relaxed);
                tracing::info!(address, lost, "traces are taken again");
            }
            Ok(()) => {}
            Err(error) => {
                self.lost.fetch_add(count, Relaxed);
                if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                    let lost = self.lost.load(Relaxed);
                    tracing::warn!(
                        address, %error, lost,
                        "traces are not taken: `--otlp` names a receiver of OTLP over HTTP, usually port 4318"
                    );
                    *told = Some(Instant::now());
                }
            }
        }
    }
}

impl<E: SpanExporter> SpanExporter for Telling<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let ended = self.inner.export(batch).await;
        self.tell(&ended, count);
        ended
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
