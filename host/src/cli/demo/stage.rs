//! Publishes events to the log as anyone would, waits for what comes of them, and reads it back.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use waxwing_engine::{
    entry::Layout,
    port::log::{self, Log, NewEntry, Part},
};
use waxwing_event::{AppName, Event, Pattern, Position, Subject, decode};

use super::{
    super::fresh,
    ledger::{Act, Ledger},
};
use crate::config::AppConfig;

/// How long one step of the story may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A log with handlers on it.
pub(super) struct Stage {
    pub(super) log: Arc<dyn Log>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) layout: Layout,
    app: AppName,
    events: Vec<Pattern>,
}

/// What came of one published event.
pub(super) struct Scene {
    /// What was published.
    pub(super) subject: String,
    /// Its data.
    pub(super) data: String,
    /// What handlers made of it and of what followed, in the order of the log.
    pub(super) acts: Vec<Act>,
    /// Emitted events, by the id of the event that caused them.
    pub(super) emitted: HashMap<String, Vec<Event>>,
}

impl Stage {
    pub(super) fn new(log: Arc<dyn Log>, ledger: Arc<Ledger>, config: &AppConfig) -> Stage {
        let layout = Layout::new(config.app.clone());
        Stage { log, ledger, layout, app: config.app.clone(), events: config.events.clone() }
    }

    /// Publishes one event and waits until nothing more comes of it.
    pub(super) async fn play(&self, subject: &str, data: String) -> Result<Scene> {
        let subject: Subject = subject.parse()?;
        self.ledger.expect(subject.as_str());
        let entry = self.entry(&subject, data.clone());
        let written = log::commit(&*self.log, vec![entry]).await;
        let position = written.with_context(|| format!("`{subject}` was not taken"))?.last;
        let quiet = tokio::time::timeout(PATIENCE, self.ledger.quiet()).await;
        quiet.with_context(|| format!("the handlers did not come to an end with `{subject}`"))?;
        let mut acts = self.ledger.take_acts();
        acts.sort_by_key(|act| act.input);
        let count = acts.iter().map(Act::emitted).sum();
        let emitted = self.emitted_after(position, count).await?;
        Ok(Scene { subject: subject.to_string(), data, acts, emitted })
    }

    /// The entry of a new event.
    pub(super) fn entry(&self, subject: &Subject, data: String) -> NewEntry {
        let source = format!("/{}/demo", self.app);
        let json = Some("application/json".to_owned());
        fresh::entry(&fresh::event(subject.clone(), data.into(), (source, json)))
    }

    /// The first `count` events after `position` that handlers have emitted, by the event that caused them.
    async fn emitted_after(
        &self,
        position: Position,
        mut count: usize,
    ) -> Result<HashMap<String, Vec<Event>>> {
        let mut emitted: HashMap<String, Vec<Event>> = HashMap::new();
        if count == 0 {
            return Ok(emitted);
        }
        let mut reader = self.log.read(position.next(), &self.events, Part::Whole).await?;
        while count > 0 {
            let entries = tokio::time::timeout(PATIENCE, reader.next(100)).await;
            for entry in entries.context("an emitted event is not in the log")?? {
                let event = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload)?;
                if let Some(cause) = event.causation_id.clone() {
                    emitted.entry(cause).or_default().push(event);
                    count = count.saturating_sub(1);
                }
            }
        }
        Ok(emitted)
    }
}
