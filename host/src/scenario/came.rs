//! What came of a step, as it is compared and shown.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};
use waxwing_engine::{
    entry::{DeadLetter, Layout, Mark, ParkedEvent, dead, outbox::Outgoing, state, timer, tombstone},
    port::{
        Log,
        log::{Entry, NewEntry, Part},
        requests::Answer,
    },
};
use waxwing_event::{Event, HandlerName, Pattern, Position, decode};
use waxwing_log::MemoryLog;

use super::value;

/// What came of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Came {
    /// Events that were emitted and appended, in order.
    pub emitted: Vec<Value>,
    /// The answer to the request.
    pub reply: Option<Value>,
    /// The state after it, by handler and key.
    pub state: BTreeMap<String, BTreeMap<String, Value>>,
    /// Of these, what has changed; with nothing where a key is gone.
    pub changed: BTreeMap<String, BTreeMap<String, Value>>,
    /// The timers that are set after it, by handler and id.
    pub timers: BTreeMap<String, BTreeMap<String, Value>>,
    /// Dead letters of this step.
    pub dead: Vec<Value>,
    /// Events that wait after it.
    pub parked: Vec<Value>,
    /// How often handlers have run.
    pub runs: BTreeMap<String, u64>,
}

/// What stood in the log after the step before.
#[derive(Default)]
pub struct Before {
    state: BTreeMap<String, BTreeMap<String, Value>>,
    dead: BTreeMap<(HandlerName, Position), Position>,
}

/// What is looked at after each step.
pub struct Look<'a> {
    /// The log.
    pub log: &'a MemoryLog,
    /// Where things stand in it.
    pub layout: &'a Layout,
    /// Whose.
    pub handlers: &'a [HandlerName],
}

impl Look<'_> {
    /// What came of a step in which this was written, beside the answer and the runs.
    pub async fn at(&self, written: Vec<(Position, NewEntry)>, before: &mut Before) -> Result<Came> {
        let mut came = Came::default();
        for (position, entry) in written {
            came.emitted.extend(self.emitted(position, entry)?);
        }
        for handler in self.handlers {
            self.look_at(handler, before, &mut came).await?;
        }
        for handler in self.handlers {
            let name = handler.to_string();
            let (now, then) = (came.state.get(&name).cloned().unwrap_or_default(), before.state.get(&name));
            let changed =
                now.iter().filter(|(key, value)| then.and_then(|then| then.get(*key)) != Some(*value));
            let gone = then.into_iter().flatten().filter(|(key, _)| !now.contains_key(*key));
            let gone = gone.map(|(key, _)| (key.clone(), value::none()));
            let changed = changed.map(|(key, value)| (key.clone(), value.clone())).chain(gone);
            came.changed.insert(name, changed.collect());
        }
        came.changed.retain(|_, keys| !keys.is_empty());
        before.state = came.state.clone();
        Ok(came)
    }

    /// The event that an entry holds, where it was emitted.
    fn emitted(&self, position: Position, entry: NewEntry) -> Result<Option<Value>> {
        let Some(mark) = Mark::of(&entry.headers) else { return Ok(None) };
        let NewEntry { subject, headers, payload, .. } = entry;
        let entry = Entry { position, subject, headers, payload, time: Default::default() };
        let handler = mark.whose.handler;
        let is_out = Pattern::matches(&self.layout.outboxes(Some(&handler)), entry.subject.as_str());
        let (subject, headers, payload) = if is_out {
            let message = Outgoing::read(entry)?.message;
            (message.subject, message.headers, message.payload)
        } else if self.layout.everything().matches(entry.subject.as_str()) {
            return Ok(None);
        } else {
            (entry.subject, entry.headers, entry.payload)
        };
        let event = decode::event(&subject, position, &headers, &payload)?;
        Ok(Some(event_of(&handler, event)))
    }

    async fn look_at(&self, handler: &HandlerName, before: &mut Before, came: &mut Came) -> Result<()> {
        let (layout, name) = (self.layout, handler.to_string());
        for entry in self.all(&layout.states(handler)).await? {
            let Some(key) = layout.state_key(handler, &entry.subject) else { continue };
            if let Some(bytes) = state::value(entry) {
                came.state.entry(name.clone()).or_default().insert(key, value::shown(&bytes));
            }
        }
        for entry in self.standing(&layout.timers(Some(handler))).await? {
            let Some(id) = layout.timer_id(handler, &entry.subject) else { continue };
            let timer::About { due, .. } = timer::About::read(&entry)?;
            let timer = json!({ "due": due.to_string(), "data": value::shown(&entry.payload) });
            came.timers.entry(name.clone()).or_default().insert(id, timer);
        }
        for entry in self.standing(&layout.dead_letters(Some(handler))).await? {
            let stands = entry.position;
            let DeadLetter { about: dead::About { original, kind, reason, attempts, .. }, payload } =
                DeadLetter::read(entry)?;
            if before.dead.insert((handler.clone(), original.position), stands) != Some(stands) {
                came.dead.push(json!({
                    "handler": handler, "subject": original.subject, "id": original.event_id, "key": original.key,
                    "kind": kind, "reason": reason, "attempts": attempts, "data": value::shown(&payload),
                }));
            }
        }
        for entry in self.standing(&layout.all_parked(Some(handler))).await? {
            let ParkedEvent { about, payload } = ParkedEvent::read(entry)?;
            let reason = about.failures.last().map(|failed| failed.reason.clone());
            came.parked.push(json!({
                "handler": handler, "subject": about.original.subject, "id": about.original.event_id,
                "key": about.original.key, "attempts": about.attempts, "reason": reason,
                "due": about.due.to_string(), "data": value::shown(&payload),
            }));
        }
        Ok(())
    }

    async fn all(&self, subjects: &Pattern) -> Result<Vec<Entry>> {
        Ok(self.log.last_of_each(subjects, Part::Whole, usize::MAX).await?)
    }

    async fn standing(&self, subjects: &Pattern) -> Result<Vec<Entry>> {
        let mut entries = self.all(subjects).await?;
        entries.retain(|entry| !tombstone::is(entry));
        entries.sort_by_key(|entry| entry.position);
        Ok(entries)
    }
}

/// An answer.
pub fn reply(answer: &Answer) -> Value {
    match answer {
        Answer::Reply { headers, payload } => {
            let content_type = headers.get("Content-Type");
            let others = headers.iter().filter(|(name, _)| *name != "Content-Type");
            let others: Map<String, Value> =
                others.map(|(name, value)| (name.to_owned(), value.into())).collect();
            json!({ "data": value::shown(payload), "content-type": content_type, "attributes": others })
        }
        Answer::Refused { code, reason } => json!({ "code": code, "reason": reason }),
    }
}

fn event_of(handler: &HandlerName, event: Event) -> Value {
    let extensions: Map<String, Value> =
        event.extensions.into_iter().map(|(name, value)| (name, value.into())).collect();
    json!({
        "handler": handler, "subject": event.subject, "type": event.event_type, "about": event.about,
        "id": event.id, "correlation": event.correlation_id, "causation": event.causation_id, "time": event.time,
        "content-type": event.content_type, "data-schema": event.data_schema, "extensions": extensions,
        "data": value::shown(&event.data),
    })
}
