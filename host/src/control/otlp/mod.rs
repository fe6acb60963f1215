//! Metrics and traces, sent to a receiver of the OpenTelemetry Protocol: OTLP over HTTP, with protobuf. A build without the
//! feature `otlp` sends nothing, and says so.
//!
//! | module | noun |
//! | --- | --- |
//! | `sending` | metrics and traces, as a host sends them |
//! | `receiver` | who receives, and of whom is told |
//! | `traces` | spans on their way there |
//! | `telling` | whether anybody takes them |
//! | `span` | pure: the spans of a run, with the attributes of OpenTelemetry's conventions |

#[cfg(feature = "otlp")]
mod receiver;
#[cfg(feature = "otlp")]
mod sending;
#[cfg(feature = "otlp")]
mod span;
#[cfg(feature = "otlp")]
mod telling;
#[cfg(feature = "otlp")]
mod traces;
#[cfg(not(feature = "otlp"))]
mod without;

#[cfg(feature = "otlp")]
pub use sending::Otlp;
#[cfg(not(feature = "otlp"))]
pub use without::Otlp;

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// It is no address.
    #[error(
        "`{0}` is no receiver of OTLP over HTTP: write `--otlp http://127.0.0.1:4318`, without `/v1/traces`"
    )]
    Address(String),
    /// The library refuses it.
    #[cfg(feature = "otlp")]
    #[error("cannot send to `{address}`: look at the address, and at the variables OTEL_EXPORTER_OTLP_…")]
    Receiver {
        /// Where to.
        address: String,
        /// What it says.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// This program cannot.
    #[cfg(not(feature = "otlp"))]
    #[error(
        "{0}: this waxwing was built without OTLP: build it with the feature `otlp`, or leave `--otlp` out"
    )]
    Without(String),
}
