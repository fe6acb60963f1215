//! What a replay has found, and how it is shown.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use waxwing_engine::entry::generation::Generation;
use waxwing_event::{Digest, HandlerName, Position};

use super::told::Told;
use crate::cli::{
    output::{self, say},
    style::{BAD, DIM, END, GOOD, NAME},
};

/// So many differing keys are named.
const NAMED_KEYS: usize = 20;

/// What came of an event now, beside what came of it then.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compared {
    pub(super) position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    pub(super) result: Verdict,
    pub(super) then: Vec<Told>,
    pub(super) now: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Same,
    Different,
    Failed,
}

/// The whole of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) handler: HandlerName,
    pub(super) module: Digest,
    pub(super) events: usize,
    pub(super) same: usize,
    pub(super) different: usize,
    pub(super) failed: usize,
    pub(super) compared: Vec<Compared>,
    /// Events that no run of the handler has ended yet.
    pub(super) not_handled: usize,
    /// Keys whose present values are not those that the replay has made; none where it was of a part only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) differing_keys: Option<Vec<Differing>>,
    /// The generation to which its state was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<Generation>,
}

/// A key of the state.
#[derive(Debug, Serialize)]
pub(super) struct Differing {
    pub(super) key: String,
    /// Its present value.
    pub(super) present: Option<Value>,
    /// What the replay has made of it.
    pub(super) now: Option<Value>,
}

impl Report {
    pub(super) fn new(handler: &HandlerName, module: Digest, not_handled: usize) -> Report {
        let (same, different, failed) = (0, 0, 0);
        let handler = handler.clone();
        Report {
            handler,
            module,
            events: 0,
            same,
            different,
            failed,
            compared: Vec::new(),
            not_handled,
            differing_keys: None,
            generation: None,
        }
    }

    pub(super) fn count(&mut self, compared: &Compared) {
        self.events += 1;
        match compared.result {
            Verdict::Same => self.same += 1,
            Verdict::Different => self.different += 1,
            Verdict::Failed => self.failed += 1,
        }
    }

    pub(super) fn is_same(&self) -> bool {
        self.different == 0 && self.failed == 0 && self.differing_keys.as_ref().is_none_or(Vec::is_empty)
    }

    pub(super) fn show(&self) -> Result<()> {
        let Report { events, same, different, failed, not_handled, .. } = self;
        let more = if *not_handled == 0 { String::new() } else { format!("; {not_handled} not handled yet") };
        say!("events: {events}, {GOOD}{same} the same{END}, {different} different, {failed} failed{more}")?;
        if *events == 0 {
            anstream::eprintln!("no event of the handler lies in this range, with this key");
        }
        match self.differing_keys.as_deref() {
            None => {}
            Some([]) => say!("the state is the same")?,
            Some(keys) => {
                say!("keys of the state that differ: {}", keys.len())?;
                keys.iter().take(NAMED_KEYS).try_for_each(Differing::show)?;
                if keys.len() > NAMED_KEYS {
                    say!("  and {} more: see --output json", keys.len() - NAMED_KEYS)?;
                }
            }
        }
        if let Some(generation) = self.generation {
            let handler = &self.handler;
            say!(
                "its state is generation {generation}: see `waxwing state ls {handler} --generation {generation}`"
            )?;
        }
        Ok(())
    }
}

impl Compared {
    pub(super) fn show(&self) -> Result<()> {
        let Compared { position, event_id, key, result, then, now, failure } = self;
        let id = output::line(event_id.as_deref().unwrap_or("undecodable"));
        let key = key.as_deref().map(|key| format!(" of {}", output::line(key))).unwrap_or_default();
        say!("{NAME}{position}{END}{key} {DIM}{id}{END}")?;
        if *result == Verdict::Same {
            now.iter().try_for_each(|told| told.show("  "))?;
            if let Some(failure) = failure {
                say!("  {DIM}fails, as it did then: {}{END}", output::lines(failure))?;
            }
            return Ok(());
        }
        then.iter().filter(|told| !now.contains(told)).try_for_each(|told| told.show("  - then "))?;
        now.iter().filter(|told| !then.contains(told)).try_for_each(|told| told.show("  + now  "))?;
        if let Some(failure) = failure {
            say!("  {BAD}fails{END}: {}", output::lines(failure))?;
        }
        Ok(())
    }
}

impl Differing {
    pub(super) fn show(&self) -> Result<()> {
        let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        say!("{NAME}{}{END}", output::line(&self.key))?;
        say!("  - present {}", shown(&self.present))?;
        say!("  + now     {}", shown(&self.now))?;
        Ok(())
    }
}

impl Told {
    pub(super) fn show(&self, start: &str) -> Result<()> {
        let event_type = output::line(&self.event_type);
        let named = if event_type == self.subject { String::new() } else { format!(" {event_type}") };
        let data = if self.data.is_null() { String::new() } else { format!(" {}", self.data) };
        say!("{start}{}{named}{data}", self.subject)?;
        Ok(())
    }
}
