//! The handlers of a simulation, as pure functions: from an event and the state it reads to effects. The
//! sandbox of the simulation and the serial model both call them.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waxwing_event::{
    Effects, Emit, Event, Failure, HandlerName, Pattern, Subject, key::KeySource, outcome::FailureKind,
};

use super::server::MAX_ENTRY_BYTES;

/// The handlers of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handler {
    /// Keeps order by key: a history of each key, and counters that keys share.
    Ledger,
    /// Keeps no order: all its runs contend for few counters.
    Tally,
    /// Keeps order by key on what the ledger emits.
    Chain,
}

/// What an event asks of its handlers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Item {
    pub key: String,
    pub n: u64,
    pub act: Act,
    /// So many runs fail before one succeeds, while the module is not fixed.
    #[serde(default)]
    pub fails: u64,
    /// How they fail.
    #[serde(default = "trap")]
    pub how: FailureKind,
    /// The delay that a failing run asks for.
    #[serde(default)]
    pub after_ms: Option<u64>,
}

fn trap() -> FailureKind {
    FailureKind::Trap
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Sets state and emits.
    Both,
    /// Sets state.
    State,
    /// Emits what state says.
    Emit,
    /// Sets state and emits, but nothing where the state's count is odd.
    Even,
    /// Emits several events and sets several states, some of which others set too.
    Many,
    /// Deletes the state and emits.
    Delete,
    /// Deletes the state, which may not be there.
    Forget,
    /// Reads and does nothing.
    Nothing,
    /// Lists the state's keys and does nothing.
    List,
    /// Refuses the event while the module is not fixed; then as `Both`.
    Reject,
    /// Emits more than an entry may hold.
    Large,
    /// Emits where the log keeps nothing, and sets state.
    Foreign,
    /// Emits once as many as may run at once have met.
    Meet,
}

impl Handler {
    pub const ALL: [Handler; 3] = [Handler::Ledger, Handler::Tally, Handler::Chain];

    pub fn name(self) -> HandlerName {
        let name = match self {
            Handler::Ledger => "ledger",
            Handler::Tally => "tally",
            Handler::Chain => "chain",
        };
        name.parse().unwrap()
    }

    pub fn on(self) -> Pattern {
        let on = if self == Handler::Chain { "out.ledger" } else { "in.>" };
        on.parse().unwrap()
    }

    pub fn key(self) -> Vec<KeySource> {
        match self {
            Handler::Ledger => vec!["ce.partitionkey".parse().unwrap(), "data.key".parse().unwrap()],
            Handler::Chain => vec!["data.key".parse().unwrap()],
            Handler::Tally => Vec::new(),
        }
    }

    /// The state that a run reads.
    pub fn reads(self, event: &Event) -> Vec<String> {
        let Ok(item) = item(event) else { return Vec::new() };
        match (self, item.act) {
            (Handler::Ledger, Act::Many) => vec![item.key, shared(item.n)],
            (Handler::Ledger | Handler::Chain, _) => vec![item.key],
            (Handler::Tally, Act::Many) => vec![shared(item.n), shared(item.n + 1)],
            (Handler::Tally, _) => vec![shared(item.n)],
        }
    }

    /// What a run does that has read this and does not fail.
    pub fn act(self, event: &Event, read: &Read) -> Result<Effects, Failure> {
        let item = item(event)?;
        Ok(match self {
            Handler::Ledger => ledger(&item, read),
            Handler::Tally => tally(&item, read),
            Handler::Chain => chain(&item, read),
        })
    }
}

/// State that a run has read.
pub type Read = BTreeMap<String, Option<Bytes>>;

/// What an event asks for.
pub fn item(event: &Event) -> Result<Item, Failure> {
    serde_json::from_slice(&event.data).map_err(|error| Failure::new(FailureKind::Reject, error.to_string()))
}

impl Item {
    /// How the run of this number fails, from 1, while the module is not fixed.
    pub fn failure(&self, run: u64) -> Option<Failure> {
        let kind = match self.act {
            Act::Reject => FailureKind::Reject,
            _ if run <= self.fails => self.how,
            _ => return None,
        };
        let mut failure = Failure::new(kind, "as asked");
        failure.after = self.after_ms.map(Duration::from_millis);
        Some(failure)
    }
}

fn shared(n: u64) -> String {
    format!("shared/{}", n % 3)
}

fn ledger(item: &Item, read: &Read) -> Effects {
    let mut effects = Effects::default();
    let before = text(read, &item.key);
    let tell = |effects: &mut Effects| {
        let act = if item.n.is_multiple_of(3) { Act::Nothing } else { Act::Both };
        let fails = if item.n.is_multiple_of(7) { 2 } else { 0 };
        let said =
            serde_json::json!({"key": item.key, "n": item.n, "act": act, "fails": fails, "before": before});
        effects.emits.push(emit("out.ledger", said.to_string()));
    };
    match item.act {
        Act::Even if count(&before) % 2 == 1 => {}
        Act::Both | Act::Even | Act::Reject => {
            tell(&mut effects);
            set(&mut effects, &item.key, next(&before, item.n));
        }
        Act::State => set(&mut effects, &item.key, next(&before, item.n)),
        Act::Emit | Act::Meet => tell(&mut effects),
        Act::Many => {
            tell(&mut effects);
            let seen = text(read, &shared(item.n));
            let said = serde_json::json!({"n": item.n, "seen": seen});
            effects.emits.push(emit("out.many", said.to_string()));
            set(&mut effects, &item.key, next(&before, item.n));
            set(&mut effects, &shared(item.n), next(&seen, item.n));
            set(&mut effects, &format!("last of {}", item.key), item.n.to_string());
        }
        Act::Delete => {
            tell(&mut effects);
            effects.state.insert(item.key.clone(), None);
        }
        Act::Forget => drop(effects.state.insert(item.key.clone(), None)),
        Act::Large => effects.emits.push(emit("out.many", "x".repeat(MAX_ENTRY_BYTES))),
        Act::Foreign => {
            effects.emits.push(emit("elsewhere", "{}".to_owned()));
            set(&mut effects, &item.key, "never".to_owned());
        }
        _ => {}
    }
    effects
}

fn tally(item: &Item, read: &Read) -> Effects {
    let mut effects = Effects::default();
    let (one, other) = (shared(item.n), shared(item.n + 1));
    let before = text(read, &one);
    let tell = |effects: &mut Effects, seen: &str| {
        let said = serde_json::json!({"n": item.n, "seen": seen});
        effects.emits.push(emit("out.tally", said.to_string()));
    };
    match item.act {
        Act::Both | Act::Reject => {
            tell(&mut effects, &before);
            set(&mut effects, &one, next(&before, item.n));
        }
        Act::State => set(&mut effects, &one, next(&before, item.n)),
        Act::Emit | Act::Meet => tell(&mut effects, ""),
        Act::Many => {
            let too = text(read, &other);
            tell(&mut effects, &before);
            set(&mut effects, &one, next(&too, item.n));
            set(&mut effects, &other, next(&before, item.n));
        }
        // Where there is nothing to delete, it sets: a run that reads a state and does not write it stands for
        // the moment of its reading, not of its commit, and the model goes by commits.
        Act::Delete => {
            tell(&mut effects, &before);
            effects.state.insert(one, before.is_empty().then(|| next("", item.n).into()));
        }
        Act::Foreign => effects.emits.push(emit("elsewhere", "{}".to_owned())),
        _ => {}
    }
    effects
}

fn chain(item: &Item, read: &Read) -> Effects {
    let mut effects = Effects::default();
    if item.act == Act::Both {
        set(&mut effects, &item.key, next(&text(read, &item.key), item.n));
        if item.n.is_multiple_of(5) {
            let said = serde_json::json!({"n": item.n, "before": text(read, &item.key)});
            effects.emits.push(emit("out.chain", said.to_string()));
        }
    }
    effects
}

fn text(read: &Read, key: &str) -> String {
    let value = read.get(key).cloned().flatten().unwrap_or_default();
    String::from_utf8(value.to_vec()).unwrap()
}

/// A state's next value: how many there were, and a digest of which, in which order.
fn next(before: &str, n: u64) -> String {
    let digest =
        before.bytes().fold(n, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{} {digest:x}", count(before) + 1)
}

fn count(value: &str) -> u64 {
    value.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn set(effects: &mut Effects, key: &str, value: String) {
    effects.state.insert(key.to_owned(), Some(value.into()));
}

fn emit(subject: &str, data: String) -> Emit {
    Emit {
        subject: subject.parse::<Subject>().unwrap(),
        event_type: None,
        about: None,
        content_type: None,
        data_schema: None,
        extensions: Vec::new(),
        data: data.into(),
        aggregate: None,
    }
}
