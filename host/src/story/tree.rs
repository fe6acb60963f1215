//! Who was caused by whom: a story as a tree of events and of the runs that handled them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use waxwing_engine::{
    entry::{Checkpoint, Layout},
    plan,
};
use waxwing_event::{HandlerName, HandlerSpec, Position};

use super::gather::{Cause, End, Events, Gathering, Place, Run, Told};

/// How deep a tree is at most: what is below is left out, and said to be.
const MAX_DEPTH: usize = 400;

/// In longer stories it is not looked whose timers have fired: what they caused stands for itself.
const MAX_LOOKED_AT: usize = 20_000;

/// Of so many entries of a commit it is looked whether they were timers that have fired.
const MAX_INDEX: usize = 64;

/// A story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// What its events have in common.
    pub correlation_id: String,
    /// Where it begins: one event, or more where what caused them is not in the log.
    pub events: Vec<Node>,
}

/// An event, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The event's id.
    pub id: String,
    /// The event; none where it is not in the log: a request, a timer that has fired, an event of another stream, or one
    /// that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Told>,
    /// The runs that handled it.
    pub runs: Vec<Ran>,
    /// What it caused of which no run is known: events of other programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Node>,
    /// True where more lies below than is shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

/// A run, and what it emitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ran {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// Its events and timers, in order.
    pub emitted: Vec<Node>,
}

/// A handler that hears events of the log, and how far it is.
pub struct Hearer<'s> {
    /// What the manifest says of it.
    pub spec: &'s HandlerSpec,
    /// The least of its partitions' checkpoints; none where one has none.
    pub checkpoint: Option<Checkpoint>,
}

impl Hearer<'_> {
    /// What is known of an event of which the log tells nothing.
    fn silent(&self, told: &Told) -> Option<Run> {
        let spec = self.spec;
        let hears = told.place == Place::Log
            && spec.stream.is_none()
            && spec.on.iter().any(|pattern| pattern.matches(told.subject.as_str()));
        let is_handled = |checkpoint: &Checkpoint| {
            told.position <= checkpoint.watermark || checkpoint.handled.contains(&told.position)
        };
        let end = match &self.checkpoint {
            Some(checkpoint) if is_handled(checkpoint) => End::Handled,
            _ => End::Open,
        };
        hears.then(|| Run::new(spec.name.clone(), end))
    }
}

impl Story {
    /// The story that was gathered; what the log does not tell of these handlers is concluded. None where there is none.
    pub fn of(gathered: Gathering<'_>, layout: &Layout, hearers: &[Hearer<'_>]) -> Option<Story> {
        let (correlation_id, events, mut runs) = gathered.into_parts();
        if events.is_empty() && runs.is_empty() {
            return None;
        }
        let by_id: BTreeMap<String, Position> =
            events.iter().map(|(position, (told, _))| (told.id.clone(), *position)).collect();
        let fired = fired_timers(layout, &events, &runs, &by_id);
        // Of a run that has done nothing else, nothing else tells.
        for (handler, cause) in fired.keys() {
            let of = (handler.clone(), cause.clone());
            runs.entry(of).or_insert_with(|| Run::new(handler.clone(), End::Done));
        }
        let mut growing = Growing { fired, ..Growing::default() };
        for ((handler, cause), run) in runs {
            growing.runs_of.entry(place_of(cause, &by_id)).or_default().insert(handler, run);
        }
        let mut roots = Vec::new();
        for (position, (told, by)) in &events {
            match by.clone() {
                Some((handler, cause)) => {
                    let cause = place_of(cause, &by_id);
                    growing.emitted.entry((handler, cause)).or_default().push(*position);
                }
                None => match told.causation_id.as_ref().and_then(|id| by_id.get(id)) {
                    Some(cause) if cause < position => {
                        growing.others.entry(*cause).or_default().push(*position);
                    }
                    _ => roots.push(Cause::Input(*position)),
                },
            }
        }
        // Where the cause itself is not there, it begins with what is known of it: its id, or its place.
        let is_missing =
            |cause: &&Cause| !matches!(cause, Cause::Input(position) if events.contains_key(position));
        let is_known =
            |cause: &&Cause| !growing.fired.values().flatten().any(|id| **cause == Cause::Id(id.clone()));
        roots.extend(growing.runs_of.keys().filter(is_missing).filter(is_known).cloned());
        roots.sort_by_key(|root| match root {
            Cause::Input(position) => (*position, String::new()),
            Cause::Id(id) => (Position::NONE, id.clone()),
        });
        let events = events.into_iter().map(|(position, (told, _))| (position, told)).collect();
        let roots = roots.into_iter().map(|root| growing.node(root, 0, &events, hearers)).collect();
        Some(Story { correlation_id, events: roots })
    }
}

/// A cause by its place in the log, where it is there.
fn place_of(cause: Cause, by_id: &BTreeMap<String, Position>) -> Cause {
    match cause {
        Cause::Id(id) => match by_id.get(&id) {
            Some(position) => Cause::Input(*position),
            None => Cause::Id(id),
        },
        Cause::Input(position) => Cause::Input(position),
    }
}

/// Timers of the story that have fired: their events are not in the log any more, but what they have caused names them, and
/// their ids follow from whose run set them.
fn fired_timers(
    layout: &Layout,
    events: &Events,
    runs: &BTreeMap<(HandlerName, Cause), Run>,
    by_id: &BTreeMap<String, Position>,
) -> BTreeMap<(HandlerName, Cause), Vec<String>> {
    let mut missing = BTreeMap::<&HandlerName, BTreeSet<&String>>::new();
    for (handler, cause) in runs.keys() {
        if let Cause::Id(id) = cause
            && !by_id.contains_key(id)
        {
            missing.entry(handler).or_default().insert(id);
        }
    }
    let mut fired = BTreeMap::<_, Vec<String>>::new();
    if events.len() > MAX_LOOKED_AT {
        return fired;
    }
    // A timer is handled by the handler that has set it.
    for (handler, missing) in missing {
        let source = layout.source(handler);
        for (input, (told, _)) in events {
            let ids = (0..MAX_INDEX).map(|index| plan::id_of(&source, *input, &told.id, index));
            let ids: Vec<String> = ids.filter(|id| missing.contains(id)).collect();
            if !ids.is_empty() {
                fired.insert((handler.clone(), Cause::Input(*input)), ids);
            }
        }
    }
    fired
}

/// A tree as it grows.
#[derive(Default)]
struct Growing {
    runs_of: BTreeMap<Cause, BTreeMap<HandlerName, Run>>,
    emitted: BTreeMap<(HandlerName, Cause), Vec<Position>>,
    fired: BTreeMap<(HandlerName, Cause), Vec<String>>,
    others: BTreeMap<Position, Vec<Position>>,
}

impl Growing {
    /// A node with all below it. What is caused stands behind its cause, so this comes to an end.
    fn node(
        &mut self,
        cause: Cause,
        depth: usize,
        events: &BTreeMap<Position, Told>,
        hearers: &[Hearer<'_>],
    ) -> Node {
        let told = match &cause {
            Cause::Input(position) => events.get(position).cloned(),
            Cause::Id(_) => None,
        };
        let id = match (&told, &cause) {
            (Some(told), _) => told.id.clone(),
            (None, Cause::Id(id)) => id.clone(),
            (None, Cause::Input(position)) => position.to_string(),
        };
        let mut node =
            Node { id, event: told, runs: Vec::new(), others: Vec::new(), is_cut: depth >= MAX_DEPTH };
        if node.is_cut {
            return node;
        }
        let others = match &cause {
            Cause::Input(position) => self.others.remove(position).unwrap_or_default(),
            Cause::Id(_) => Vec::new(),
        };
        let mut runs = self.runs_of.remove(&cause).unwrap_or_default();
        let silent = |told| hearers.iter().filter_map(move |hearer: &Hearer<'_>| hearer.silent(told));
        for silent in node.event.iter().flat_map(silent) {
            runs.entry(silent.handler.clone()).or_insert(silent);
        }
        for (handler, run) in runs {
            let of = (handler, cause.clone());
            let emitted = self.emitted.remove(&of).unwrap_or_default().into_iter().map(Cause::Input);
            let fired = self.fired.remove(&of).unwrap_or_default().into_iter().map(Cause::Id);
            let emitted: Vec<Cause> = emitted.chain(fired).collect();
            let mut below = |cause| self.node(cause, depth + 1, events, hearers);
            let emitted = emitted.into_iter().map(&mut below).collect();
            node.runs.push(Ran { run, emitted });
        }
        let mut below = |position| self.node(Cause::Input(position), depth + 1, events, hearers);
        node.others = others.into_iter().map(&mut below).collect();
        node
    }
}
