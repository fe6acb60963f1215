//! The shadow: a second version that runs on what the live one has run on, with all its effects withheld. Pure: in what the
//! two differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waxwing_event::{Effects, Emit, Outcome, Reply, TimerChange};

/// So many characters are told of what a version did.
const MAX_TOLD_CHARS: usize = 300;

/// In what a run of the shadow can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// One of them failed, or both in another way.
    Outcome,
    /// The events that it emits.
    Emits,
    /// The state that it writes.
    State,
    /// The timers that it sets or cancels.
    Timers,
    /// The answer to a request.
    Reply,
}

/// Something that the shadow does otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Otherwise {
    /// In what.
    pub part: Part,
    /// What the live version did, cut off.
    pub live: String,
    /// What the shadow would have done, cut off.
    pub shadow: String,
}

/// How many runs were compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compared {
    /// Runs that the shadow ended in the same way.
    pub same: u64,
    /// Those that it ended otherwise.
    pub different: u64,
    /// Of these, those that differ in each part.
    pub parts: BTreeMap<Part, u64>,
    /// Runs of which the shadow had none: it did not keep up, or could not have seen the same state.
    pub skipped: u64,
}

impl Compared {
    /// Counts a run.
    pub fn count(&mut self, otherwise: &[Otherwise]) {
        if otherwise.is_empty() {
            self.same += 1;
            return;
        }
        self.different += 1;
        otherwise.iter().for_each(|one| *self.parts.entry(one.part).or_default() += 1);
    }

    /// All runs of the live version.
    pub fn runs(&self) -> u64 {
        self.same + self.different + self.skipped
    }

    /// Counts what another partition has counted.
    pub fn add(&mut self, other: &Compared) {
        self.same += other.same;
        self.different += other.different;
        self.skipped += other.skipped;
        other.parts.iter().for_each(|(part, count)| *self.parts.entry(*part).or_default() += count);
    }
}

/// What the shadow does otherwise. Data that is JSON is compared as JSON; snapshots are not compared, as each module has
/// its own.
pub fn compare(live: &Outcome, shadow: &Outcome) -> Vec<Otherwise> {
    let (live, shadow) = match (live, shadow) {
        (Outcome::Done(live), Outcome::Done(shadow)) => (live, shadow),
        (Outcome::Failed(one), Outcome::Failed(other)) if one.kind == other.kind => return Vec::new(),
        (live, shadow) => {
            let (live, shadow) = (ended(live), ended(shadow));
            return vec![Otherwise { part: Part::Outcome, live: cut(&live), shadow: cut(&shadow) }];
        }
    };
    let parts = [
        (Part::Emits, emits(live), emits(shadow)),
        (Part::State, state(live), state(shadow)),
        (Part::Timers, timers(live), timers(shadow)),
        (Part::Reply, live.reply.iter().map(reply).collect(), shadow.reply.iter().map(reply).collect()),
    ];
    parts.into_iter().filter_map(|(part, live, shadow)| otherwise(part, &live, &shadow)).collect()
}

/// What is in one of them alone.
fn otherwise(part: Part, live: &[String], shadow: &[String]) -> Option<Otherwise> {
    if live == shadow {
        return None;
    }
    let told = |mine: &[String], other: &[String]| {
        let others: BTreeSet<&String> = other.iter().collect();
        let own: Vec<&str> = mine.iter().filter(|one| !others.contains(one)).map(String::as_str).collect();
        match (own.is_empty(), mine.is_empty()) {
            (true, true) => "nothing".to_owned(),
            // The same in another order, or another number of times.
            (true, false) => cut(&mine.join("; ")),
            (false, _) => cut(&own.join("; ")),
        }
    };
    Some(Otherwise { part, live: told(live, shadow), shadow: told(shadow, live) })
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::Failed(failure) => failure.to_string(),
    }
}

fn emits(effects: &Effects) -> Vec<String> {
    let told = |emit: &Emit| {
        let Emit { subject, event_type, about, content_type, data_schema, extensions, data, aggregate } =
            emit;
        let mut text = format!("{subject} {}", shown(data));
        let named =
            [("type", event_type), ("about", about), ("content", content_type), ("schema", data_schema)];
        for (name, value) in named.into_iter().chain([("aggregate", aggregate)]) {
            value.iter().for_each(|value| text.push_str(&format!(" {name}={value}")));
        }
        extensions.iter().for_each(|(name, value)| text.push_str(&format!(" {name}={value}")));
        text
    };
    effects.emits.iter().map(told).collect()
}

fn state(effects: &Effects) -> Vec<String> {
    let own = effects.state.iter().filter(|(key, _)| !effects.snapshots.contains(*key));
    own.map(|(key, value)| match value {
        Some(value) => format!("{key} = {}", shown(value)),
        None => format!("{key} deleted"),
    })
    .collect()
}

fn timers(effects: &Effects) -> Vec<String> {
    let told = |(id, change): (&String, &TimerChange)| match change {
        TimerChange::Set(timer) => format!("{id} {:?} {}", timer.due, shown(&timer.data)),
        TimerChange::Cancel => format!("{id} cancelled"),
    };
    effects.timers.iter().map(told).collect()
}

fn reply(reply: &Reply) -> String {
    let Reply { data, content_type, attributes } = reply;
    format!("{} {content_type:?} {attributes:?}", shown(data))
}

/// Data in the one form in which it is compared.
fn shown(data: &Bytes) -> String {
    match serde_json::from_slice::<Value>(data) {
        Ok(value) => value.to_string(),
        Err(_) => data.escape_ascii().to_string(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TOLD_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Outcome => "outcome",
            Part::Emits => "emits",
            Part::State => "state",
            Part::Timers => "timers",
            Part::Reply => "reply",
        })
    }
}

#[cfg(test)]
mod tests {
    use waxwing_event::{Failure, Subject, outcome::FailureKind};

    use super::*;

    fn emit(subject: &str, data: &str) -> Emit {
        Emit {
            subject: Subject::from_checked(subject),
            event_type: None,
            about: None,
            content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data: Bytes::from(data.to_owned()),
            aggregate: None,
        }
    }

    fn done(emits: Vec<Emit>, state: &[(&str, &str)]) -> Outcome {
        let state =
            state.iter().map(|(key, value)| ((*key).to_owned(), Some(Bytes::from((*value).to_owned()))));
        Outcome::Done(Effects { emits, state: state.collect(), ..Effects::default() })
    }

    fn failed(kind: FailureKind) -> Outcome {
        Outcome::Failed(Failure::new(kind, "why"))
    }

    fn differs(live: &Outcome, shadow: &Outcome) -> Vec<(Part, String, String)> {
        compare(live, shadow).into_iter().map(|one| (one.part, one.live, one.shadow)).collect()
    }

    #[test]
    fn the_same_in_another_form_of_json_is_the_same() {
        let live = done(vec![emit("a.b", r#"{"x":1,"y":2}"#)], &[("k", "1")]);
        assert_eq!(differs(&live, &done(vec![emit("a.b", r#"{ "y": 2, "x": 1 }"#)], &[("k", " 1")])), []);
        assert_eq!(differs(&failed(FailureKind::Trap), &failed(FailureKind::Trap)), []);
    }

    #[test]
    fn tells_what_only_one_of_them_does() {
        let live = done(vec![emit("a.b", "1"), emit("a.c", "2")], &[("k", "1"), ("l", "2")]);
        let shadow = done(vec![emit("a.b", "1")], &[("k", "7"), ("l", "2")]);
        let text = |text: &str| text.to_owned();
        assert_eq!(
            differs(&live, &shadow),
            [(Part::Emits, text("a.c 2"), text("a.b 1")), (Part::State, text("k = 1"), text("k = 7")),]
        );
        assert_eq!(
            differs(&live, &failed(FailureKind::Reject)),
            [(Part::Outcome, text("done"), text("reject: why"))]
        );
        let deadline = differs(&failed(FailureKind::Deadline), &failed(FailureKind::Trap));
        assert_eq!(deadline, [(Part::Outcome, text("deadline: why"), text("trap: why"))]);
    }

    #[test]
    fn a_snapshot_is_each_modules_own() {
        let with = |snapshot: &str| {
            let state = [("acc".to_owned(), Some(Bytes::from(snapshot.to_owned())))].into();
            let snapshots = ["acc".to_owned()].into();
            Outcome::Done(Effects { state, snapshots, ..Effects::default() })
        };
        assert_eq!(differs(&with("1"), &with("2")), []);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let (live, shadow) = (done(vec![emit("a.b", &"é".repeat(1000))], &[]), done(Vec::new(), &[]));
        let told = differs(&live, &shadow);
        assert_eq!(told[0].1.chars().count(), MAX_TOLD_CHARS + 1);
        assert_eq!(told[0].2, "nothing");
    }

    #[test]
    fn counts_parts_of_what_differs() {
        let mut compared = Compared::default();
        compared.count(&[]);
        compared.count(&compare(&done(vec![emit("a.b", "1")], &[("k", "1")]), &done(Vec::new(), &[])));
        compared.skipped += 1;
        let mut all = compared.clone();
        all.add(&compared);
        assert_eq!((all.runs(), all.same, all.different, all.skipped), (6, 2, 2, 2));
        assert_eq!(all.parts, [(Part::Emits, 2), (Part::State, 2)].into());
    }
}
