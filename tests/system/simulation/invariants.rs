//! What must hold when a run is over.
//!
//! The history of the log tells in which order the runs of a handler were committed. Handled in that order by
//! the serial model, each input must give exactly what was written for it, once; the states that the log holds
//! at the end are the model's; and each input is at exactly one place, where the log shows it.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_engine::{
    entry::{Layout, Mark, state, tombstone},
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::{Effects, Pattern, Position, handler::OnExhausted};

use super::{
    app,
    handler::Handler,
    host::Settings,
    model::{Model, event, may_die},
    server::Server,
    story::{Page, Stage, Told},
    witness::Done,
};

/// All that does not hold, in words.
pub async fn violations(server: &Server, settings: &Settings, done: &Done) -> Vec<String> {
    let history = server.history().clone();
    let mut found = ids_given_twice(&history);
    for handler in Handler::ALL {
        let mut check = Check::new(handler, settings, &history, done);
        check.replay(&history);
        check.compare_states(server).await;
        check.compare_places(server).await;
        found.append(&mut check.found);
    }
    found
}

fn ids_given_twice(history: &[Vec<Entry>]) -> Vec<String> {
    let mut ids = BTreeSet::new();
    let emitted = history.iter().flatten().filter(|entry| entry.subject.as_str().starts_with("out."));
    let twice = emitted.filter(|entry| !ids.insert(entry.headers.get("ce-id")));
    twice.map(|entry| format!("the event at {} has the id of another", entry.position)).collect()
}

/// The check of one handler.
struct Check<'a> {
    handler: Handler,
    settings: &'a Settings,
    layout: Layout,
    /// The inputs, as operators have edited them.
    inputs: BTreeMap<Position, Entry>,
    stages: BTreeMap<Position, Stage>,
    redriven: BTreeSet<Position>,
    /// Of each key, the last input that has had its effects.
    reached: BTreeMap<String, Position>,
    /// Inputs without entries, and where their runs stand in the log.
    silent: BTreeMap<Position, Vec<Position>>,
    model: Model,
    found: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(handler: Handler, settings: &'a Settings, history: &[Vec<Entry>], done: &Done) -> Check<'a> {
        let model = Model::new(handler);
        let inputs = history.iter().flatten().filter(|entry| model.takes(entry));
        let inputs: BTreeMap<Position, Entry> = inputs.map(|e| (e.position, e.clone())).collect();
        let told: BTreeSet<Position> =
            history.iter().flat_map(|commit| pages(handler, commit)).map(|page| page.input).collect();
        let silent = inputs.keys().filter(|input| !told.contains(input));
        let runs = |input| done.get(&(handler, input)).cloned().unwrap_or_default();
        Check {
            handler,
            settings,
            layout: Layout::new(app()),
            silent: silent.map(|input| (*input, runs(*input))).collect(),
            inputs,
            stages: BTreeMap::new(),
            redriven: BTreeSet::new(),
            reached: BTreeMap::new(),
            model,
            found: Vec::new(),
        }
    }

    fn violated(&mut self, input: Position, what: impl std::fmt::Display) {
        self.found.push(format!("{:?}, input {input}: {what}", self.handler));
    }

    /// Goes through the history; inputs without entries are looked at where they ran.
    fn replay(&mut self, history: &[Vec<Entry>]) {
        let mut ran: BTreeSet<(Position, Position)> = BTreeSet::new();
        for (input, runs) in &self.silent {
            ran.extend(runs.iter().map(|run| (*run, *input)));
        }
        let mut without_effect = BTreeSet::new();
        let look = |check: &Check<'_>, input: Position, seen: &mut BTreeSet<Position>| {
            if check.model.look(&check.inputs[&input]).is_ok_and(|effects| effects.is_empty()) {
                seen.insert(input);
            }
        };
        for commit in history {
            let first = commit[0].position;
            while let Some((at, input)) = ran.first().copied().filter(|(at, _)| *at < first) {
                ran.remove(&(at, input));
                look(self, input, &mut without_effect);
            }
            for page in pages(self.handler, commit) {
                self.turn(&page);
            }
        }
        for (_, input) in ran {
            look(self, input, &mut without_effect);
        }
        let silent: Vec<Position> = self.silent.keys().copied().collect();
        for input in silent {
            if !without_effect.contains(&input) {
                self.violated(input, "nothing was written, and no run of it had no effect");
            }
        }
    }

    fn turn(&mut self, page: &Page<'_>) {
        let input = page.input;
        let Some(entry) = self.inputs.get(&input).cloned() else {
            return self.violated(input, "a mark names it, but it is no input");
        };
        let cause = event(self.handler, &entry);
        let told = match page.read(cause.as_ref().ok()) {
            Ok(told) => told,
            Err(why) => return self.violated(input, format_args!("at {}: {why}", page.position())),
        };
        let stage = self.stages.get(&input).copied().unwrap_or_default();
        let Some(next) = stage.after(&told) else {
            return self.violated(input, format_args!("is {stage:?}, then at {} {told:?}", page.position()));
        };
        self.stages.insert(input, next);
        match told {
            Told::Done(effects, _) => {
                if let Some(key) = cause.ok().and_then(|event| event.key) {
                    self.keep_order(input, key);
                }
                self.compare_effects(input, &entry, effects);
            }
            Told::Dead(letter, _) => {
                if !may_die(self.handler, &entry, &letter.about, self.settings) {
                    self.violated(input, format_args!("is dead: {:?}", letter.about));
                }
                self.compare_payload(input, &entry, &letter.payload);
            }
            Told::Parked(parked) => self.compare_payload(input, &entry, &parked.payload),
            Told::Edited(letter) => {
                self.inputs.insert(input, Entry { payload: letter.payload, ..entry });
            }
            Told::Redriven => drop(self.redriven.insert(input)),
            Told::Archived => {}
        }
    }

    /// Where dead letters hold their key, its events have their effects in order. Where they do not, those
    /// that were redriven come late.
    fn keep_order(&mut self, input: Position, key: String) {
        if self.settings.on_exhausted == OnExhausted::DeadLetterEvent && self.redriven.contains(&input) {
            return;
        }
        let last = self.reached.get(&key).copied().unwrap_or_default();
        if last > input {
            self.violated(input, format_args!("done after {last}, which has the same key `{key}`"));
        }
        self.reached.insert(key, last.max(input));
    }

    fn compare_effects(&mut self, input: Position, entry: &Entry, mut effects: Effects) {
        self.model.without_idle_deletions(&mut effects);
        let expected = self.model.handle(entry);
        if expected.as_ref() != Ok(&effects) {
            self.violated(input, format_args!("found {effects:?}, expected {expected:?}"));
        }
    }

    fn compare_payload(&mut self, input: Position, entry: &Entry, kept: &[u8]) {
        if entry.payload != kept {
            self.violated(input, "its payload was not kept");
        }
    }

    async fn compare_states(&mut self, server: &Server) {
        let states = self.layout.states(&self.handler.name());
        let mut kept = BTreeMap::new();
        for entry in server.log.last_of_each(&states, Part::Whole, usize::MAX).await.unwrap() {
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

    /// What the log shows as parked and dead is what its history says.
    async fn compare_places(&mut self, server: &Server) {
        let name = self.handler.name();
        for (stage, subjects) in [
            (Stage::Parked, self.layout.all_parked(Some(&name))),
            (Stage::Dead, self.layout.dead_letters(Some(&name))),
        ] {
            let shown = standing(server, &subjects).await;
            let at: BTreeSet<Position> =
                self.stages.iter().filter(|(_, at)| **at == stage).map(|(input, _)| *input).collect();
            if shown != at {
                self.found.push(format!("{:?}: {stage:?} are {shown:?}, expected {at:?}", self.handler));
            }
        }
    }
}

/// The inputs whose entries stand on these subjects.
async fn standing(server: &Server, subjects: &Pattern) -> BTreeSet<Position> {
    let entries = server.log.last_of_each(subjects, Part::Headers, usize::MAX).await.unwrap();
    let there = entries.iter().filter(|entry| !tombstone::is(entry));
    there.map(|entry| Layout::position(&entry.subject).unwrap()).collect()
}

/// What a commit says of a handler's inputs.
fn pages(handler: Handler, commit: &[Entry]) -> Vec<Page<'_>> {
    let mut pages: Vec<Page<'_>> = Vec::new();
    for entry in commit {
        let Some(mark) = Mark::of(&entry.headers).filter(|mark| mark.whose.handler == handler.name()) else {
            continue;
        };
        match pages.last_mut().filter(|page| page.input == mark.input) {
            Some(page) => page.entries.push((mark, entry)),
            None => pages.push(Page { handler, input: mark.input, entries: vec![(mark, entry)] }),
        }
    }
    pages
}
