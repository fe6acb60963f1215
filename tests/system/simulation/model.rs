//! The serial model: the same handlers, one event after the other, without hosts, faults or time.

use std::collections::BTreeMap;

use bytes::Bytes;
use waxwing_engine::port::log::Entry;
use waxwing_event::{Effects, Event, Failure, decode, key::key_of, outcome::FailureKind};

use super::{handler::Handler, server::MAX_ENTRY_BYTES};

/// A handler and its state.
pub struct Model {
    handler: Handler,
    pub state: BTreeMap<String, Bytes>,
}

/// What must become of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// These effects, without deletions of what is not there.
    Done(Effects),
    /// A dead letter of this kind.
    Dead(FailureKind),
}

impl Model {
    pub fn new(handler: Handler) -> Model {
        Model { handler, state: BTreeMap::new() }
    }

    /// Handles an input.
    pub fn handle(&mut self, entry: &Entry) -> Expected {
        let outcome = event(self.handler, entry).and_then(|event| self.run(&event));
        let effects = match outcome {
            Ok(effects) => effects,
            Err(failure) => return Expected::Dead(failure.kind),
        };
        for (key, value) in &effects.state {
            match value {
                Some(value) => drop(self.state.insert(key.clone(), value.clone())),
                None => drop(self.state.remove(key)),
            }
        }
        Expected::Done(effects)
    }

    fn run(&self, event: &Event) -> Result<Effects, Failure> {
        let keys = self.handler.reads(event).into_iter();
        let read = keys.map(|key| (key.clone(), self.state.get(&key).cloned())).collect();
        let mut effects = self.handler.act(event, &read)?;
        let refused = |effects: &Effects| {
            let mut emits = effects.emits.iter();
            emits.any(|emit| emit.subject.as_str() == "elsewhere" || emit.data.len() >= MAX_ENTRY_BYTES)
        };
        if refused(&effects) {
            return Err(Failure::new(FailureKind::Effects, "the log does not take it"));
        }
        effects.state.retain(|key, value| value.is_some() || self.state.contains_key(key));
        Ok(effects)
    }

    /// True where the handler finds an event at this entry.
    pub fn takes(&self, entry: &Entry) -> bool {
        self.handler.on().matches(entry.subject.as_str())
    }

    /// Which inputs must be handled in order: those with the same name.
    pub fn lane(&self, entry: &Entry) -> Option<String> {
        event(self.handler, entry).ok()?.key
    }
}

/// The event of an entry, as a handler receives it.
pub fn event(handler: Handler, entry: &Entry) -> Result<Event, Failure> {
    let failed = |why: String| Failure::new(FailureKind::Decode, why);
    let mut event = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload)
        .map_err(|error| failed(error.to_string()))?;
    event.key = key_of(&event, &handler.key()).map_err(|error| failed(error.to_string()))?;
    Ok(event)
}
