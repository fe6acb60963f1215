//! Who receives what is sent, and of whom it tells.

use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use waxwing_event::AppName;

use super::{OtlpError, telling::Telling};
use crate::tls;

/// A receiver.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    address: String,
    resource: Resource,
}

impl Receiver {
    /// The receiver at this address, of what the host `host` of this app tells.
    pub(super) fn new(address: &str, app: &AppName, host: &str) -> Result<Receiver, OtlpError> {
        let address = address.trim_end_matches('/').to_owned();
        if !(address.starts_with("http://") || address.starts_with("https://")) {
            return Err(OtlpError::Address(address));
        }
        tls::begin();
        // `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` have the last word.
        let own = [
            KeyValue::new("service.name", app.to_string()),
            KeyValue::new("service.namespace", "waxwing"),
            KeyValue::new("service.instance.id", host.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let named = Resource::builder().build();
        let is_named = |own: &KeyValue| match own.key.as_str() {
            // The library makes one up where nobody gives any.
            "service.name" => std::env::var_os("OTEL_SERVICE_NAME").is_some(),
            _ => named.get(&own.key).is_some(),
        };
        let resource = Resource::builder().with_attributes(own.into_iter().filter(|own| !is_named(own)));
        Ok(Receiver { address, resource: resource.build() })
    }

    /// Of whom is told.
    pub(super) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Sends spans there.
    pub(super) fn spans(&self) -> Result<Telling<SpanExporter>, OtlpError> {
        let exporter =
            SpanExporter::builder().with_http().with_endpoint(format!("{}/v1/traces", self.address));
        let exporter = exporter.build().map_err(|source| self.failed(source))?;
        Ok(Telling::new(exporter, &self.address))
    }

    /// Sends metrics there.
    pub(super) fn metrics(&self) -> Result<MetricExporter, OtlpError> {
        let exporter =
            MetricExporter::builder().with_http().with_endpoint(format!("{}/v1/metrics", self.address));
        exporter.build().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: ExporterBuildError) -> OtlpError {
        OtlpError::Receiver { address: self.address.clone(), source }
    }
}
