//! What others ask of a running host, and what it tells them: whether it lives, whether it is ready, and how it does.
//!
//! | module | noun |
//! | --- | --- |
//! | [`health`] | what a host lacks to be ready |
//! | [`metrics`] | what a host counts and measures |
//! | [`probes`] | `/livez`, `/readyz` and `/metrics` over HTTP |
//! | [`otlp`] | metrics and traces, sent to a receiver of OTLP |
//! | [`notify`] | the same for systemd |

pub mod health;
pub mod metrics;
pub mod notify;
pub mod otlp;
pub mod probes;

pub use self::{health::Health, metrics::Metrics, notify::Notifier, otlp::Otlp, probes::Probes};
