//! The file: JSON of one version.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_event::{
    AppName, Digest, HandlerName, HandlerSpec, Pattern, Position, SecretName, outcome::FailureKind,
};

use super::record::{Data, EntryRecord, EventRecord};
use crate::config;

/// The form of these files. Another one has another number.
pub const FORMAT: &str = "waxwing-capture/1";

/// An event, what its run read, and what it wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capture {
    /// [`FORMAT`].
    pub format: String,
    /// The app.
    pub app: AppName,
    /// What its log keeps.
    pub events: Vec<Pattern>,
    /// The handler.
    pub handler: HandlerName,
    /// What the manifest says of it, its module apart: settings, grants and limits among it.
    pub table: serde_json::Value,
    /// The module with which it was captured.
    pub module: Digest,
    /// The event.
    pub event: EventRecord,
    /// What time it was for the run.
    pub now: Moment,
    /// The state that the run read.
    pub state: StateRecord,
    /// The histories of aggregates that it read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub histories: BTreeMap<String, HistoryRecord>,
    /// The timers that were set, as far as that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<String>,
    /// Secrets that it may read; never their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// What came of it.
    pub came: Came,
    /// What is not exact, or not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A time, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Moment {
    /// When.
    pub time: Timestamp,
    /// How it is known.
    pub from: MomentFrom,
}

/// How a time is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentFrom {
    /// What the run emitted says it: exact.
    Commit,
    /// It set a timer that was due after a while: exact.
    Timer,
    /// It wrote something at that time, by the log's clock.
    Log,
    /// The event was published at that time: the run came later.
    Event,
}

/// What a run read of its handler's state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateRecord {
    /// Values by their keys.
    pub values: BTreeMap<String, ValueRecord>,
    /// Lists of keys by what they begin with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Vec<String>>,
}

/// A value that a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueRecord {
    /// The value; none: there was none.
    pub data: Option<Data>,
    /// How it is known.
    pub from: ValueFrom,
}

/// How a value is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueFrom {
    /// It still stands in the log: exact.
    Log,
    /// Made again by the events before: exact where these runs did the same as then.
    Replay,
}

/// The history of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistoryRecord {
    /// What the module has made of its beginning.
    pub snapshot: Option<Data>,
    /// The last event of which that tells.
    pub after: Position,
    /// The events behind that, up to the run.
    pub events: Vec<EventRecord>,
}

/// What came of a run, as the log tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "result")]
pub enum Came {
    /// It had these effects. Of what was replaced or has gone since, nothing is known.
    Done {
        /// What still stands.
        written: Vec<EntryRecord>,
    },
    /// It is a dead letter.
    Dead {
        /// The sort of failure.
        kind: FailureKind,
        /// Why.
        reason: String,
    },
    /// It waits for an attempt, or behind another of its key.
    Parked,
}

impl Capture {
    /// Reads a file's text.
    pub fn read(text: &str) -> Result<Capture> {
        #[derive(Deserialize)]
        struct Format {
            format: String,
        }
        let Format { format } =
            serde_json::from_str(text).context("it is no capture: write one with `waxwing capture`")?;
        ensure!(format == FORMAT, "its form is `{format}`, and this is `{FORMAT}`: capture the event again");
        Ok(serde_json::from_str(text)?)
    }

    /// What the manifest said of the handler.
    pub fn spec(&self) -> Result<HandlerSpec> {
        let app = (&self.app, self.events.as_slice());
        let read = config::deployed("the capture", app, &self.handler, &self.table, self.module);
        Ok(read.map_err(|problems| anyhow!(problems.error_lines().join("; ")))?.spec)
    }

    /// Its text, as it stands in a file.
    pub fn text(&self) -> Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}
