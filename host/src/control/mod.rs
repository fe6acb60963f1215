//! What others ask of a running host, and what it tells them: whether it lives, and whether it is ready.
//!
//! | module | noun |
//! | --- | --- |
//! | [`health`] | what a host lacks to be ready |
//! | [`probes`] | `/livez` and `/readyz` over HTTP |
//! | [`notify`] | the same for systemd |

pub mod health;
pub mod notify;
pub mod probes;

pub use self::{health::Health, notify::Notifier, probes::Probes};
