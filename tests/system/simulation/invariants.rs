//! What must hold when a run is over.
//!
//! The history of the log tells in which order the runs of a handler were committed. Handled in that order by
//! the serial model, each input must give exactly what was written for it, once, and the states and dead
//! letters that the log holds at the end are the model's.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use waxwing_engine::{
    entry::{DeadLetter, Layout, Mark, state},
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::{Effects, Position, outcome::FailureKind};

use super::{
    app,
    handler::Handler,
    model::{Expected, Model, event},
    server::Server,
    witness::Witness,
};

/// All that does not hold, in words.
pub async fn violations(server: &Server, witness: &Witness) -> Vec<String> {
    let history = server.history().clone();
    let mut found = ids_given_twice(&history);
    for handler in Handler::ALL {
        let mut check = Check::new(handler, &history, witness);
        check.replay();
        check.compare_states(server).await;
        check.compare_dead_letters(server).await;
        found.append(&mut check.found);
    }
    found
}

fn ids_given_twice(history: &[Entry]) -> Vec<String> {
    let mut ids = BTreeSet::new();
    let emitted = history.iter().filter(|entry| entry.subject.as_str().starts_with("out."));
    let twice = emitted.filter(|entry| !ids.insert(entry.headers.get("ce-id")));
    twice.map(|entry| format!("the event at {} has the id of another", entry.position)).collect()
}

/// The check of one handler.
struct Check<'a> {
    handler: Handler,
    layout: Layout,
    witness: &'a Witness,
    inputs: BTreeMap<Position, &'a Entry>,
    /// What was written for each input, in the order of the log.
    written: BTreeMap<Position, Vec<(Mark, &'a Entry)>>,
    model: Model,
    dead: BTreeMap<Position, FailureKind>,
    found: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(handler: Handler, history: &'a [Entry], witness: &'a Witness) -> Check<'a> {
        let model = Model::new(handler);
        let inputs = history.iter().filter(|entry| model.takes(entry)).map(|e| (e.position, e)).collect();
        let mut written: BTreeMap<Position, Vec<_>> = BTreeMap::new();
        for entry in history {
            if let Some(mark) = Mark::of(&entry.headers).filter(|mark| mark.handler == handler.name()) {
                written.entry(mark.input).or_default().push((mark, entry));
            }
        }
        let (layout, dead, found) = (Layout::new(app()), BTreeMap::new(), Vec::new());
        Check { handler, layout, witness, inputs, written, model, dead, found }
    }

    fn violated(&mut self, input: Position, what: impl std::fmt::Display) {
        self.found.push(format!("{:?}, input {input}: {what}", self.handler));
    }

    /// Handles all inputs in the order of their commits. Those without an entry come before the next of
    /// their key.
    fn replay(&mut self) {
        let mut by_commit: Vec<(Position, Position)> =
            self.written.iter().map(|(input, entries)| (entries[0].1.position, *input)).collect();
        by_commit.sort_unstable();
        let mut silent = self.silent_by_lane();
        let mut reached: BTreeMap<String, Position> = BTreeMap::new();
        for (_, input) in by_commit {
            let Some(entry) = self.inputs.get(&input).copied() else {
                self.violated(input, "a mark names it, but it is no input");
                continue;
            };
            if let Some(lane) = self.model.lane(entry) {
                let waiting = silent.remove(&lane).unwrap_or_default();
                let (before, after) = waiting.into_iter().partition(|silent| *silent < input);
                self.replay_silent(before);
                silent.insert(lane.clone(), after);
                let last = reached.insert(lane.clone(), input).unwrap_or_default();
                if last > input {
                    self.violated(
                        input,
                        format_args!("handled after {last}, which has the same key `{lane}`"),
                    );
                }
            }
            self.replay_written(input, entry);
        }
        silent.into_values().for_each(|rest| self.replay_silent(rest));
    }

    /// Inputs for which nothing was ever written.
    fn silent_by_lane(&self) -> BTreeMap<String, Vec<Position>> {
        let mut silent: BTreeMap<String, Vec<Position>> = BTreeMap::new();
        for (position, entry) in &self.inputs {
            if !self.written.contains_key(position) {
                silent.entry(self.model.lane(entry).unwrap_or_default()).or_default().push(*position);
            }
        }
        silent
    }

    fn replay_silent(&mut self, inputs: Vec<Position>) {
        for input in inputs {
            let expected = self.inputs.get(&input).map(|entry| self.model.handle(entry));
            if expected != Some(Expected::Done(Effects::default())) {
                self.violated(input, format_args!("nothing was written, expected was {expected:?}"));
            } else if !self.witness.has_ran(self.handler, input) {
                self.violated(input, "it counts as handled and has never run");
            }
        }
    }

    fn replay_written(&mut self, input: Position, entry: &Entry) {
        let written = self.written.remove(&input).unwrap_or_default();
        let first = written[0].1.position.0;
        for ((mark, entry), index) in written.iter().zip(0..) {
            if mark.index != index || entry.position.0 != first + u64::from(index) {
                let place = entry.position;
                return self.violated(input, format_args!("the entry at {place} is not of its one commit"));
            }
        }
        let state = self.model.state.clone();
        let expected = self.model.handle(entry);
        let found = self.found_in(input, entry, &written, &state);
        if found.as_ref() != Ok(&expected) {
            self.violated(input, format_args!("found {found:?}, expected {expected:?}"));
        }
        if let Expected::Dead(kind) = expected {
            self.dead.insert(input, kind);
        }
    }

    /// What these entries say of the run that wrote them, without deletions of what was not there.
    fn found_in(
        &self,
        input: Position,
        from: &Entry,
        written: &[(Mark, &Entry)],
        state: &BTreeMap<String, Bytes>,
    ) -> Result<Expected, String> {
        let name = self.handler.name();
        let dead = self.layout.dead(&name, input);
        let mut effects = Effects::default();
        for (_, entry) in written {
            if entry.subject == dead {
                let letter = DeadLetter::read((*entry).clone()).map_err(|error| error.to_string())?;
                return match written.len() {
                    1 => Ok(Expected::Dead(letter.about.kind)),
                    _ => Err("a dead letter and effects".to_owned()),
                };
            } else if let Some(key) = self.layout.state_key(&name, &entry.subject) {
                let value = state::value((*entry).clone());
                if value.is_some() || state.contains_key(&key) {
                    effects.state.insert(key, value);
                }
            } else {
                effects.emits.push(self.emitted(from, entry)?);
            }
        }
        Ok(Expected::Done(effects))
    }

    fn emitted(&self, from: &Entry, entry: &Entry) -> Result<waxwing_event::Emit, String> {
        let emitted =
            waxwing_event::decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload);
        let emitted = emitted.map_err(|error| error.to_string())?;
        let cause = event(self.handler, from).map_err(|failure| failure.reason)?;
        if emitted.causation_id.as_deref() != Some(&cause.id)
            || emitted.correlation_id != cause.correlation_id
        {
            return Err(format!("the event at {} names another cause", entry.position));
        }
        Ok(waxwing_event::Emit {
            subject: emitted.subject,
            event_type: None,
            about: None,
            content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data: emitted.data,
        })
    }

    async fn compare_states(&mut self, server: &Server) {
        let states = self.layout.states(&self.handler.name());
        let entries = server.log.last_of_each(&states, Part::Whole, usize::MAX).await.unwrap();
        let mut kept = BTreeMap::new();
        for entry in entries {
            let key = self.layout.state_key(&self.handler.name(), &entry.subject).unwrap();
            if let Some(value) = state::value(entry) {
                kept.insert(key, value);
            }
        }
        if kept != self.model.state {
            let (handler, expected) = (self.handler, &self.model.state);
            self.found.push(format!("{handler:?}: the states are {kept:?}, expected are {expected:?}"));
        }
    }

    async fn compare_dead_letters(&mut self, server: &Server) {
        let letters = self.layout.dead_letters(Some(&self.handler.name()));
        let entries = server.log.last_of_each(&letters, Part::Whole, usize::MAX).await.unwrap();
        let mut kept = BTreeMap::new();
        for letter in entries.into_iter().filter_map(|entry| DeadLetter::read(entry).ok()) {
            let input = letter.about.position;
            if self.inputs.get(&input).is_some_and(|original| original.payload != letter.payload) {
                self.violated(input, "its dead letter does not keep its payload");
            }
            kept.insert(input, letter.about.kind);
        }
        if kept != self.dead {
            let (handler, expected) = (self.handler, &self.dead);
            self.found.push(format!("{handler:?}: the dead letters are {kept:?}, expected are {expected:?}"));
        }
    }
}
