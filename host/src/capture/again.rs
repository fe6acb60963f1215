//! Runs a capture, and compares what it does with what stands in the log.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{Layout, Mark, Partition, Partitions, partitions::Share, timer},
    plan::{self, Cause, Changes, Planner, TimerWrite},
    port::invoke::{HistoryError, HistoryStart, StateUnavailable, StateView},
};
use waxwing_event::{
    Digest, Effects, Event, Failure, HandlerSpec, Outcome, Position, TimerChange, handler::Reach,
};

use super::{
    bench::{Bench, Ran},
    form::{Came, Capture},
    record::EntryRecord,
};

/// A capture that was run.
#[derive(Debug)]
pub struct Again {
    /// How the run ended, what it said and used.
    pub ran: Ran,
    /// What it would write.
    pub entries: Vec<EntryRecord>,
    /// Where that is not what stands in the log.
    pub differences: Vec<Difference>,
    /// What it read that the capture does not hold: it was told that nothing is there.
    pub strayed: Vec<String>,
}

/// Something that is otherwise than it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// What it is about: a subject, or how the run ended.
    pub what: String,
    /// As it was; none: it was not.
    pub then: Option<String>,
    /// As it would be; none: it would not.
    pub now: Option<String>,
}

/// Runs a capture.
pub async fn run(capture: &Capture, bench: &Bench) -> Result<Again> {
    let event = Arc::new(capture.event.event()?);
    let view = Arc::new(Recorded { capture: capture.clone(), strayed: Mutex::default() });
    let now = capture.now.time;
    let ran = bench.run(event.clone(), view.clone(), now).await?;
    let layout = Layout::new(capture.app.clone());
    let entries = match &ran.outcome {
        Outcome::Done(effects) => {
            entries(&layout, &bench.spec, bench.digest(), &event, effects.clone(), (now, &capture.timers))
        }
        Outcome::Failed(_) => Vec::new(),
    };
    let differences = match (&capture.came, &ran.outcome) {
        (Came::Done { written }, Outcome::Done(_)) => differences(written, &entries, &bench.spec, &layout),
        (Came::Dead { kind, .. }, Outcome::Failed(failure)) if *kind == failure.kind => Vec::new(),
        // It has come to no end yet.
        (Came::Parked, _) => Vec::new(),
        (came, outcome) => vec![ended(came, outcome)],
    };
    let strayed = view.strayed.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
    Ok(Again { ran, entries, differences, strayed })
}

/// The entries of a run, as a host would write them; `timers` are those that are set.
pub fn entries(
    layout: &Layout,
    spec: &HandlerSpec,
    module: Digest,
    event: &Event,
    mut effects: Effects,
    (now, timers): (Timestamp, &[String]),
) -> Vec<EntryRecord> {
    let mut writes = Vec::new();
    for (id, change) in std::mem::take(&mut effects.timers) {
        match change {
            TimerChange::Set(new) => {
                let about = timer::About { due: timer::when(new.due, now), key: event.key.clone() };
                writes.push(TimerWrite::Set { id, about, data: new.data, content_type: new.content_type });
            }
            TimerChange::Cancel if timers.contains(&id) => writes.push(TimerWrite::Gone { id }),
            TimerChange::Cancel => {}
        }
    }
    let changes = Changes { timers: writes, ..plan::changes(effects, module, |_| None, |_| None) };
    let share = Share { partition: Partition(0), partitions: Partitions::ONE };
    let mark = Mark {
        whose: layout.named(&spec.name),
        share,
        input: event.position,
        index: 0,
        watermark: Position::NONE,
        also: Vec::new(),
        version: None,
    };
    let planner = Planner::new(layout.clone(), spec);
    let entries = planner.effects(Cause { event, seed: None, span: None }, changes, &mark, now);
    (0..).zip(&entries).map(|(index, entry)| EntryRecord::of_new(index, entry)).collect()
}

/// Where entries differ from those that stand in the log. State and timers that were replaced since are not there to be
/// compared, nor is what has left the log.
pub fn differences(
    then: &[EntryRecord],
    now: &[EntryRecord],
    spec: &HandlerSpec,
    layout: &Layout,
) -> Vec<Difference> {
    let is_the_hosts = |entry: &&EntryRecord| layout.everything().matches(entry.subject.as_str());
    let mut differences = Vec::new();
    for then in then {
        let now = match is_the_hosts(&then) {
            // Their places depend on what has no effect.
            true => now.iter().find(|now| now.subject == then.subject),
            false => now.iter().find(|now| now.index == then.index),
        };
        if !now.is_some_and(|now| now.is_same(then)) {
            differences.push(difference(Some(then), now));
        }
    }
    for now in now.iter().filter(|now| !is_the_hosts(now)) {
        let is_there = then.iter().any(|then| then.index == now.index && !is_the_hosts(&then));
        let leaves = matches!(spec.grants.reach(now.subject.as_str()), Some(Reach::Outside(_)));
        if !is_there && !leaves {
            differences.push(difference(None, Some(now)));
        }
    }
    differences
}

fn difference(then: Option<&EntryRecord>, now: Option<&EntryRecord>) -> Difference {
    let subject = then.or(now).map(|entry| entry.subject.to_string()).unwrap_or_default();
    // Headers are told where the data says nothing.
    let with_headers =
        then.zip(now).is_some_and(|(then, now)| then.subject == now.subject && then.data == now.data);
    let told = |entry: &EntryRecord| match with_headers {
        true => format!("{:?}", entry.headers),
        false => format!("{} {}", entry.subject, shown(entry)),
    };
    Difference { what: subject, then: then.map(told), now: now.map(told) }
}

fn shown(entry: &EntryRecord) -> String {
    entry.data.bytes().map(|data| String::from_utf8_lossy(&data).into_owned()).unwrap_or_default()
}

fn ended(came: &Came, outcome: &Outcome) -> Difference {
    let then = match came {
        Came::Done { .. } => "done".to_owned(),
        Came::Dead { kind, reason } => format!("{kind}: {reason}"),
        Came::Parked => "failed, and waits for an attempt".to_owned(),
    };
    let now = match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::Failed(Failure { kind, reason, .. }) => format!("{kind}: {reason}"),
    };
    Difference { what: "the end of the run".to_owned(), then: Some(then), now: Some(now) }
}

/// The state that a capture holds.
struct Recorded {
    capture: Capture,
    strayed: Mutex<BTreeSet<String>>,
}

impl Recorded {
    fn stray(&self, what: String) {
        self.strayed.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }
}

fn damaged(error: impl ToString) -> StateUnavailable {
    StateUnavailable(format!("the capture is damaged: {}", error.to_string()))
}

#[async_trait]
impl StateView for Recorded {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        match self.capture.state.values.get(key) {
            Some(value) => value.data.as_ref().map(|data| data.bytes().map_err(damaged)).transpose(),
            None => {
                self.stray(format!("the state `{key}`"));
                Ok(None)
            }
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        match self.capture.state.keys.get(prefix) {
            Some(keys) => Ok(keys.clone()),
            None => {
                self.stray(format!("the keys that begin with `{prefix}`"));
                Ok(Vec::new())
            }
        }
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        if self.capture.table.get("aggregate").is_none() {
            return Err(HistoryError::NoneHere);
        }
        let Some(history) = self.capture.histories.get(id) else {
            self.stray(format!("the history of `{id}`"));
            return Ok(HistoryStart { snapshot: None, after: Position::NONE });
        };
        let snapshot = history.snapshot.as_ref().map(|data| data.bytes().map_err(damaged)).transpose()?;
        Ok(HistoryStart { snapshot, after: history.after })
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        let Some(history) = self.capture.histories.get(id) else { return Ok(Vec::new()) };
        let events = history.events.iter().filter(|event| event.position() > after);
        events.map(|event| event.event().map_err(|error| damaged(error).into())).collect()
    }
}
