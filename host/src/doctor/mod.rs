//! What weakens a promise: the server, the stream, and where each handler stands, looked at and judged.
//!
//! [`found`] is what was found, [`look`] finds it and [`sync`] finds what the server's clients cannot see;
//! [`server`], [`stream`], [`handler`], [`place`] and `bucket` judge it, as pure functions from what was found to [`finding`]s.

mod age;
mod bucket;
pub mod finding;
pub mod found;
pub mod handler;
pub mod look;
mod monitor;
pub mod place;
pub mod server;
pub mod stream;
pub mod sync;

pub use finding::{Finding, Level};
pub use found::Found;

/// Judges everything that was found.
pub fn judge(found: &Found) -> Vec<Finding> {
    let mut findings = server::judge(found);
    if let Some(log) = &found.log {
        findings.extend(stream::judge(found, log));
        for handler in &log.handlers {
            findings.extend(handler::judge(found, handler));
            if handler::is_named(found, handler) {
                findings.extend(place::judge(log, handler));
            }
        }
    }
    findings
}
