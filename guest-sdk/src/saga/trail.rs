//! What has happened to an instance, for those who want to know: `trail/<key>`.

use serde::{Deserialize, Serialize};

use super::reply::Input;
use crate::context::Context;
use crate::failure::Outcome;

/// The most lines that are kept of an instance.
pub(super) const MOST_LINES: usize = 200;

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    time: Option<String>,
    event: Cause,
    what: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Cause {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
}

/// The lines that this run adds.
#[derive(Debug, Default)]
pub(super) struct Trail {
    lines: Vec<Line>,
}

impl Trail {
    pub(super) fn key(key: &str) -> String {
        format!("trail/{key}")
    }

    pub(super) fn add(&mut self, cause: &Input, what: impl Into<String>) {
        let event = Cause { id: cause.id.clone(), event_type: cause.event_type.clone() };
        self.lines.push(Line { time: cause.time.clone(), event, what: what.into() });
    }

    /// Whether nothing has happened.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds the lines to those that are kept, of which the oldest go.
    pub(super) fn save(self, key: &str, cx: &mut Context) -> Outcome {
        let key = Self::key(key);
        let mut all: Vec<Line> = cx.state().get(&key)?.unwrap_or_default();
        all.extend(self.lines);
        let kept = all.len().saturating_sub(MOST_LINES);
        cx.state().set(&key, all.get(kept..).unwrap_or_default())?;
        Ok(())
    }
}
