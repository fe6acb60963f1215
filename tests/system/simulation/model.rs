//! The serial model: the same handlers, one event after the other, without hosts, faults or time.

use std::collections::BTreeMap;

use bytes::Bytes;
use waxwing_engine::{entry::dead, port::log::Entry};
use waxwing_event::{Effects, Event, Failure, decode, key::key_of, outcome::FailureKind};

use super::{
    handler::{Act, Handler, item},
    host::Settings,
    server::MAX_ENTRY_BYTES,
};

/// A handler and its state.
pub struct Model {
    handler: Handler,
    pub state: BTreeMap<String, Bytes>,
}

impl Model {
    pub fn new(handler: Handler) -> Model {
        Model { handler, state: BTreeMap::new() }
    }

    /// What a run of this input that succeeds does; the state is as after it.
    pub fn handle(&mut self, entry: &Entry) -> Result<Effects, Failure> {
        let effects = self.look(entry)?;
        for (key, value) in &effects.state {
            match value {
                Some(value) => drop(self.state.insert(key.clone(), value.clone())),
                None => drop(self.state.remove(key)),
            }
        }
        Ok(effects)
    }

    /// What such a run would do, without deletions of what is not there.
    pub fn look(&self, entry: &Entry) -> Result<Effects, Failure> {
        let event = event(self.handler, entry)?;
        let keys = self.handler.reads(&event).into_iter();
        let read = keys.map(|key| (key.clone(), self.state.get(&key).cloned())).collect();
        let mut effects = self.handler.act(&event, &read)?;
        if is_refused(&effects) {
            return Err(Failure::new(FailureKind::Effects, "the log does not take it"));
        }
        self.without_idle_deletions(&mut effects);
        Ok(effects)
    }

    /// A host cannot always know that a key is not there, and may delete it for nothing.
    pub fn without_idle_deletions(&self, effects: &mut Effects) {
        effects.state.retain(|key, value| value.is_some() || self.state.contains_key(key));
    }

    /// True where the handler finds an input at this entry.
    pub fn takes(&self, entry: &Entry) -> bool {
        self.handler.on().matches(entry.subject.as_str())
    }
}

fn is_refused(effects: &Effects) -> bool {
    let mut emits = effects.emits.iter();
    emits.any(|emit| emit.subject.as_str() == "elsewhere" || emit.data.len() >= MAX_ENTRY_BYTES)
}

/// The event of an entry, as a handler receives it.
pub fn event(handler: Handler, entry: &Entry) -> Result<Event, Failure> {
    let failed = |why: String| Failure::new(FailureKind::Decode, why);
    let mut event = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload)
        .map_err(|error| failed(error.to_string()))?;
    event.key = key_of(&event, &handler.key()).map_err(|error| failed(error.to_string()))?;
    Ok(event)
}

/// Whether this input may have become this dead letter.
pub fn may_die(handler: Handler, entry: &Entry, about: &dead::About, settings: &Settings) -> bool {
    let event = match event(handler, entry) {
        Ok(event) => event,
        Err(failure) => return about.kind == failure.kind,
    };
    let item = match item(&event) {
        Ok(item) => item,
        Err(failure) => return about.kind == failure.kind,
    };
    let no_room = settings.parked < 1_000;
    let used_up = about.attempts >= settings.retry.attempts
        || (no_room && about.reason.contains("there is no room to park it"));
    match about.kind {
        FailureKind::Reject => item.act == Act::Reject,
        FailureKind::Effects => matches!(item.act, Act::Large | Act::Foreign),
        FailureKind::Parked => no_room && event.key.is_some(),
        FailureKind::Retry if about.reason.contains(super::sandbox::DOWN) => used_up,
        kind => item.fails > 0 && kind == item.how && used_up,
    }
}
