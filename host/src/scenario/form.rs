//! The file: scenarios as people write them. Strict: what it does not know, it refuses.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};
use waxwing_event::{HandlerName, SecretName, StreamName, Subject};

use super::fault::Kind;
use crate::config;

/// When a scenario begins unless it says otherwise.
const BEGINNING: &str = "2026-01-01T00:00:00Z";

/// A file of scenarios.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says, in order.
    pub scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    scenario: Vec<Scenario>,
}

/// A scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows.
    pub name: String,
    /// The handlers that take part; none: those beside whose crate the file lies.
    #[serde(default)]
    pub handlers: Cast,
    /// When it begins.
    #[serde(default = "beginning")]
    pub now: Timestamp,
    /// Which faults make no difference.
    #[serde(default = "Kind::all")]
    pub faults: Vec<Kind>,
    /// What is so before.
    #[serde(default)]
    pub given: Given,
    /// What happens, step by step.
    pub when: Vec<When>,
}

/// Which handlers take part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cast {
    /// Those beside whose crate the file lies.
    #[default]
    Own,
    /// All of the manifest.
    All,
    /// These.
    Named(Vec<HandlerName>),
}

/// What is so before the first step.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// Events that the handlers have heard: they run, and nothing is asked of what comes of them.
    pub events: Vec<EventForm>,
    /// State, by handler and key.
    pub state: BTreeMap<HandlerName, BTreeMap<String, Value>>,
    /// Histories of aggregates, by handler and aggregate.
    pub history: BTreeMap<HandlerName, BTreeMap<String, Vec<PastForm>>>,
    /// Timers that are set, by handler and id.
    pub timers: BTreeMap<HandlerName, BTreeMap<String, TimerForm>>,
    /// Settings other than the manifest's, by handler.
    pub settings: BTreeMap<HandlerName, BTreeMap<String, String>>,
    /// Secrets, by handler.
    pub secrets: BTreeMap<HandlerName, BTreeMap<SecretName, String>>,
}

/// A step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    event: Option<EventForm>,
    events: Option<Vec<EventForm>>,
    request: Option<EventForm>,
    live: Option<EventForm>,
    #[serde(default, deserialize_with = "duration")]
    advance: Option<Duration>,
    /// What must come of it.
    pub then: Option<Then>,
}

/// What happens in a step.
#[derive(Debug, Clone)]
pub enum Action {
    /// Events are published, one right behind the other.
    Events(Vec<EventForm>),
    /// Somebody asks, and waits for the answer.
    Request(EventForm),
    /// A live message comes.
    Live(EventForm),
    /// Time passes.
    Advance(Duration),
}

/// An event as a file writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventForm {
    /// Where it is published.
    pub subject: Subject,
    /// The stream that gets it; none: the app's log.
    pub stream: Option<StreamName>,
    /// Its type; none: its subject.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Its id; none: `event-N`.
    pub id: Option<String>,
    /// Where it comes from; none: `scenario`.
    pub source: Option<String>,
    /// What it is about.
    pub about: Option<String>,
    /// When it happened; none: now.
    pub time: Option<String>,
    /// Its data.
    #[serde(default)]
    pub data: Option<Value>,
    /// The media type of that.
    pub content_type: Option<String>,
    /// The schema of that.
    pub data_schema: Option<String>,
    /// What it belongs to; none: its own id.
    pub correlation: Option<String>,
    /// What caused it.
    pub causation: Option<String>,
    /// Its attribute `partitionkey`.
    pub key: Option<String>,
    /// Further attributes.
    #[serde(default)]
    pub extensions: BTreeMap<String, String>,
}

/// An event of an aggregate's history.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastForm {
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its data.
    #[serde(default)]
    pub data: Option<Value>,
}

/// A timer that is set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimerForm {
    /// When it fires, after the beginning.
    #[serde(deserialize_with = "some_duration")]
    pub after: Duration,
    /// What its event says.
    #[serde(default)]
    pub data: Option<Value>,
    /// The key under which it was set.
    pub key: Option<String>,
}

/// What must come of a step. What it does not name is not looked at, except for dead letters: there must be none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Then {
    /// The events that are emitted and appended, all of them, in order; of each the fields that are named.
    pub emitted: Option<Vec<Map<String, Value>>>,
    /// The answer to the request.
    pub reply: Option<Map<String, Value>>,
    /// Values of the state, by handler and key.
    pub state: BTreeMap<String, BTreeMap<String, Value>>,
    /// Timers, by handler and id.
    pub timers: BTreeMap<String, BTreeMap<String, Value>>,
    /// The dead letters of this step, all of them.
    pub dead: Vec<Map<String, Value>>,
    /// The events that wait for an attempt, or behind another, all of them.
    pub parked: Option<Vec<Map<String, Value>>>,
    /// How often handlers have run in this step: each attempt counts.
    pub runs: BTreeMap<String, u64>,
}

impl File {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<File> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
        let Written { scenario: scenarios } = toml::from_str(&text).with_context(|| shown.to_string())?;
        for scenario in &scenarios {
            for (number, when) in (1..).zip(&scenario.when) {
                when.action()
                    .with_context(|| format!("{shown}: scenario `{}`, step {number}", scenario.name))?;
            }
        }
        Ok(File { path: path.to_owned(), scenarios })
    }
}

impl EventForm {
    /// An event of which nothing is said but its subject.
    pub fn on(subject: Subject) -> EventForm {
        EventForm {
            subject,
            stream: None,
            event_type: None,
            id: None,
            source: None,
            about: None,
            time: None,
            data: None,
            content_type: None,
            data_schema: None,
            correlation: None,
            causation: None,
            key: None,
            extensions: BTreeMap::new(),
        }
    }
}

impl When {
    /// What happens.
    pub fn action(&self) -> Result<Action> {
        let When { event, events, request, live, advance, .. } = self;
        let mut actions: Vec<Action> = Vec::new();
        actions.extend(event.clone().map(|event| Action::Events(vec![event])));
        actions.extend(events.clone().map(Action::Events));
        actions.extend(request.clone().map(Action::Request));
        actions.extend(live.clone().map(Action::Live));
        actions.extend(advance.map(Action::Advance));
        match (actions.pop(), actions.is_empty()) {
            (Some(action), true) => Ok(action),
            _ => bail!("a step has one of `event`, `events`, `request`, `live` and `advance`"),
        }
    }
}

impl<'de> Deserialize<'de> for Cast {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cast, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Word(String),
            Names(Vec<HandlerName>),
        }
        match Either::deserialize(deserializer)? {
            Either::Word(word) if word == "all" => Ok(Cast::All),
            Either::Names(names) if !names.is_empty() => Ok(Cast::Named(names)),
            _ => Err(D::Error::custom("name the handlers in a list, or write \"all\"")),
        }
    }
}

fn beginning() -> Timestamp {
    BEGINNING.parse().unwrap_or_default()
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = config::duration(&text);
    duration
        .ok_or_else(|| D::Error::custom(format!("`{text}` is no duration: write 250ms, 30s, 15m, 2h or 1d")))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    some_duration(deserializer).map(Some)
}
