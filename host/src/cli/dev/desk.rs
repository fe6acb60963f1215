//! The desk: what a person does to the log by keys, as anybody could from outside.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use uuid::Uuid;
use waxwing_engine::{
    entry::{Layout, operator, tombstone},
    port::{Log, log::commit},
    standing,
};
use waxwing_event::{Event, HandlerName, Position, Subject};

use super::{
    super::{
        fresh,
        meant::{Meant, is_reserved, meant},
        payload,
    },
    told::Told,
};
use crate::config::AppConfig;

/// The attribute of an event that was published again: the id of the one before.
const REPEATS: &str = "repeats";

/// The log, and what its manifest says.
pub(super) struct Desk {
    pub(super) log: Arc<dyn Log>,
    layout: Layout,
    config: AppConfig,
    /// What was paused here, and is not to stay so.
    paused: BTreeSet<HandlerName>,
}

impl Desk {
    pub(super) fn new(log: Arc<dyn Log>, config: AppConfig) -> Desk {
        let layout = Layout::new(config.app.clone());
        Desk { log, layout, config, paused: BTreeSet::new() }
    }

    /// Goes on with another manifest, or another log.
    pub(super) fn turn_to(&mut self, log: Arc<dyn Log>, config: AppConfig) {
        self.layout = Layout::new(config.app.clone());
        (self.log, self.config) = (log, config);
    }

    /// Lets all handlers go on where one is paused; else pauses them.
    pub(super) async fn pause_or_resume(&mut self) -> Result<Told> {
        let mut paused = Vec::new();
        for handler in self.handlers() {
            if self.is_paused(&handler).await? {
                paused.push(handler);
            }
        }
        if !paused.is_empty() {
            self.resume(paused.clone()).await?;
            return Ok(Told::Resumed { handlers: paused });
        }
        let handlers = self.handlers();
        for handler in &handlers {
            let entry = operator::pause(self.layout.paused(handler), Timestamp::now());
            let written = commit(self.log.as_ref(), vec![entry]).await;
            written.with_context(|| format!("it is not known whether `{handler}` is paused"))?;
            self.paused.insert(handler.clone());
        }
        Ok(Told::Paused { handlers })
    }

    /// Lets those go on that were paused here.
    pub(super) async fn resume_own(&mut self) -> Result<()> {
        let paused = std::mem::take(&mut self.paused);
        self.resume(paused).await
    }

    async fn resume(&mut self, handlers: impl IntoIterator<Item = HandlerName>) -> Result<()> {
        for handler in handlers {
            let entry = operator::resume(self.layout.paused(&handler));
            let written = commit(self.log.as_ref(), vec![entry]).await;
            written.with_context(|| {
                format!("it is not known whether `{handler}` goes on: `waxwing resume {handler}`")
            })?;
            self.paused.remove(&handler);
        }
        Ok(())
    }

    async fn is_paused(&self, handler: &HandlerName) -> Result<bool> {
        let entry = self.log.last(&self.layout.paused(handler)).await?;
        Ok(entry.is_some_and(|entry| !tombstone::is(&entry)))
    }

    fn handlers(&self) -> Vec<HandlerName> {
        self.config.handlers.iter().map(|handler| handler.spec.name.clone()).collect()
    }

    /// Publishes an event again, as a new one: all handlers of its subject handle it, with all effects.
    pub(super) async fn publish_again(&self, event: &Event) -> Result<Told> {
        let id = Uuid::now_v7().to_string();
        let mut again = Event {
            time: Some(Timestamp::now().to_string()),
            correlation_id: id.clone(),
            causation_id: None,
            key: None,
            position: Position::NONE,
            attempt: 1,
            id,
            ..event.clone()
        };
        again.extensions.retain(|(name, _)| name != REPEATS);
        again.extensions.push((REPEATS.to_owned(), event.id.clone()));
        self.publish(&again).await
    }

    /// Publishes the event of a line, `SUBJECT DATA`.
    pub(super) async fn publish_line(&self, line: &str) -> Result<Told> {
        let (subject, data) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let subject: Subject =
            subject.parse().with_context(|| format!("`{subject}` is no subject: write SUBJECT DATA"))?;
        let data = data.trim().as_bytes().to_vec();
        let source = "/waxwing/dev".to_owned();
        let content_type = payload::media_type(&data);
        self.publish(&fresh::event(subject, data.into(), (source, content_type))).await
    }

    async fn publish(&self, event: &Event) -> Result<Told> {
        let subject = &event.subject;
        ensure!(
            !is_reserved(subject),
            "`{subject}` belongs to hosts or the server: it cannot be published here"
        );
        match meant(&self.config, subject) {
            Some(Meant::Event) => {}
            Some(Meant::Request(handler)) => {
                bail!("handler `{handler}` answers requests on `{subject}`: ask with `waxwing request`")
            }
            Some(Meant::Live(_)) => bail!("`{subject}` is of live messages: send one with `waxwing emit`"),
            None => bail!("no log takes `{subject}`: add it to `events` in waxwing.toml"),
        }
        let written = commit(self.log.as_ref(), vec![fresh::entry(event)]).await;
        let position = written.with_context(|| format!("`{subject}` was not taken"))?.last.0;
        Ok(Told::Published { id: event.id.clone(), subject: subject.to_string(), position })
    }

    /// Where the last decision about a handler stands; an error where a version is deployed.
    pub(super) async fn decided(&self, handler: &HandlerName) -> Result<Position> {
        let Some(standing) = standing::look(self.log.as_ref(), &self.layout, handler).await? else {
            return Ok(Position::NONE);
        };
        if let Some(version) = standing.deployment.version {
            let app = &self.config.app;
            bail!(
                "version {version} of handler `{handler}` is deployed in the log of app `{app}`, and what is on this disk would \
                 run in its place: use another log (--memory, --server), another app (WAXWING_APP_NAME={app}-dev), or take \
                 it out with `waxwing deploy --remove {handler}`"
            );
        }
        Ok(standing.decided())
    }
}
