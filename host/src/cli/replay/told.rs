//! What a run has emitted.

use serde::Serialize;
use serde_json::Value;
use waxwing_engine::port::log::Entry;
use waxwing_event::{Emit, HandlerSpec, decode, handler::Reach};

use super::value;

/// An event as it is compared: without what the host stamps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Told {
    pub(super) subject: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) data: Value,
}

impl Told {
    /// What a run emits now; none where it leaves the log, which keeps no trace of it.
    pub(super) fn now(emit: &Emit, spec: &HandlerSpec) -> Option<Told> {
        let stays = emit.aggregate.is_some() || spec.grants.reach(emit.subject.as_str()) == Some(Reach::Log);
        let subject = emit.subject.to_string();
        let event_type = emit.event_type.clone().unwrap_or_else(|| subject.clone());
        stays.then(|| Told { subject, event_type, data: value(&emit.data) })
    }

    /// What stands in the log.
    pub(super) fn then(entry: &Entry) -> Option<Told> {
        let event = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload).ok()?;
        let (subject, event_type) = (event.subject.to_string(), event.event_type);
        Some(Told { subject, event_type, data: value(&event.data) })
    }
}
