//! Following: a host's engine runs what decisions say, from the first moment on and whenever there is another.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::sync::Mutex;
use waxwing_engine::{
    Engine,
    engine::Put,
    entry::{
        deploy::{self, Declined},
        version::VersionNumber,
    },
    port::log::{Entry, Part, ReadError, commit},
    standing::{self, Standing, StandingError},
};
use waxwing_event::{HandlerName, Position};

use super::fitting::{Decided, Fitted, Fitter, Pace};

/// How long it rests after the log or the store could not be read.
const REST: Duration = Duration::from_secs(1);

/// Decisions taken from the reader at a time.
const CHUNK: usize = 256;

/// The most handlers of an app.
const MAX_HANDLERS: usize = 100_000;

/// Follows decisions for one host.
pub struct Follower {
    fitter: Fitter,
    /// This host.
    host: String,
    /// How long what is under way may take when a handler begins anew.
    grace: Duration,
    /// What the host's manifest says, for handlers that are not deployed.
    own: BTreeMap<HandlerName, Fitted>,
    /// What runs.
    running: BTreeMap<HandlerName, Fitted>,
    /// The next decision to take up.
    next: Position,
}

impl Follower {
    /// Takes up the decisions that there are. `own` is what the host's manifest says.
    pub async fn begin(
        fitter: Fitter,
        (host, grace): (String, Duration),
        own: BTreeMap<HandlerName, Fitted>,
    ) -> Result<Follower> {
        let log = fitter.log.clone();
        let next = log.bounds().await?.last.next();
        let running = own.clone();
        let mut follower = Follower { fitter, host, grace, own, running, next };
        let deployments = follower.fitter.layout.deployments();
        for entry in log.last_of_each(&deployments, Part::Headers, MAX_HANDLERS).await? {
            follower.take_up_at_first(&entry).await?;
        }
        Ok(follower)
    }

    /// All that runs now.
    pub fn running(&self) -> Vec<Fitted> {
        self.running.values().cloned().collect()
    }

    /// Follows decisions for ever.
    pub async fn run(mut self, engine: Arc<Mutex<Option<Engine>>>) {
        loop {
            let Err(error) = self.follow(&engine).await;
            tracing::warn!(%error, "cannot read what is deployed yet");
            tokio::time::sleep(REST).await;
        }
    }

    async fn follow(&mut self, engine: &Mutex<Option<Engine>>) -> Result<Infallible, ReadError> {
        let log = self.fitter.log.clone();
        let subjects = [self.fitter.layout.deployments(), self.fitter.layout.verdicts()];
        let mut reader = log.read(self.next, &subjects, Part::Headers).await?;
        // About whom there is a decision or a verdict that was not taken up yet.
        let mut open: BTreeSet<HandlerName> = BTreeSet::new();
        loop {
            tokio::select! {
                entries = reader.next(CHUNK) => for entry in entries? {
                    self.next = entry.position.next();
                    open.extend(self.handler_of(&entry));
                },
                () = tokio::time::sleep(REST), if !open.is_empty() => {}
            }
            for handler in std::mem::take(&mut open) {
                if !self.take_up(&handler, engine).await {
                    open.insert(handler);
                }
            }
        }
    }

    /// The handler about which a decision or a verdict is.
    fn handler_of(&self, entry: &Entry) -> Option<HandlerName> {
        let layout = &self.fitter.layout;
        let handler = layout.generation_of(&entry.subject)?.handler;
        let is_about = [layout.deployment(&handler), layout.verdict(&handler)].contains(&entry.subject);
        is_about.then_some(handler)
    }

    /// A decision that was there when the host began: nothing of the handler runs yet.
    async fn take_up_at_first(&mut self, entry: &Entry) -> Result<()> {
        let Some(handler) = self.handler_of(entry) else { return Ok(()) };
        let standing = match self.look(&handler).await {
            Ok(Some(standing)) => standing,
            Ok(None) => return Ok(()),
            Err(StandingError::Damaged(error)) => {
                tracing::error!(%handler, %error, "does not run here: what is deployed is not known");
                self.running.remove(&handler);
                return Ok(());
            }
            Err(StandingError::Read(error)) => return Err(error.into()),
        };
        let decision = (&standing.deployment, standing.decided());
        let decided = self.fitter.decide(&handler, decision, None, Pace::AtOnce, &self.own).await;
        let Decided { runs, declined } =
            decided.with_context(|| format!("handler `{handler}` cannot be made ready"))?;
        if standing.deployment.version.is_some() && self.own.contains_key(&handler) {
            tracing::info!(%handler, "what is deployed runs, not what the manifest says");
        }
        self.running.remove(&handler);
        if let Some(fitted) = &runs {
            self.running.insert(handler.clone(), fitted.clone());
        }
        self.note_declined(&handler, declined).await;
        Ok(())
    }

    async fn look(&self, handler: &HandlerName) -> Result<Option<Standing>, StandingError> {
        standing::look(self.fitter.log.as_ref(), &self.fitter.layout, handler).await
    }

    /// Takes up what was decided last; false where it must be tried again.
    async fn take_up(&mut self, handler: &HandlerName, engine: &Mutex<Option<Engine>>) -> bool {
        let standing = match self.look(handler).await {
            Ok(Some(standing)) => standing,
            Ok(None) => return true,
            Err(StandingError::Damaged(error)) => {
                tracing::error!(%handler, %error, "a decision is not followed: deploy again");
                return true;
            }
            Err(StandingError::Read(error)) => {
                tracing::warn!(%handler, %error, "cannot take up a version yet");
                return false;
            }
        };
        let decision = (&standing.deployment, standing.decided());
        let running = self.running.get(handler);
        match self.fitter.decide(handler, decision, running, Pace::BesideRuns, &self.own).await {
            Ok(Decided { runs, declined }) => {
                self.apply(handler, runs, engine).await;
                self.note_declined(handler, declined).await;
                true
            }
            Err(error) => {
                tracing::warn!(%handler, error = format!("{error:#}"), "cannot take up a version yet");
                false
            }
        }
    }

    async fn apply(&mut self, handler: &HandlerName, runs: Option<Fitted>, engine: &Mutex<Option<Engine>>) {
        let mut engine = engine.lock().await;
        // None: the host is stopping.
        let Some(engine) = engine.as_mut() else { return };
        let Some(fitted) = runs else {
            self.running.remove(handler);
            if engine.remove(handler, self.grace).await {
                tracing::info!(%handler, "runs here no more");
            }
            return;
        };
        self.running.insert(handler.clone(), fitted.clone());
        let (version, module) = (fitted.program.version, fitted.program.digest());
        let version = version.map_or_else(|| "the manifest's".to_owned(), |version| version.to_string());
        if let Some(beside) = &fitted.program.beside {
            let deploy::Beside { version: other, tried } = &beside.what;
            tracing::info!(%handler, version, %other, ?tried, "is tried beside the version that runs");
        }
        match engine.put(fitted.hosted(), self.grace).await {
            Put::Swapped => tracing::info!(%handler, version, %module, "ready"),
            Put::Begun => tracing::info!(%handler, version, %module, "begins"),
            Put::BegunAnew => {
                tracing::info!(%handler, version, %module, "begins anew: more than its module has changed")
            }
        }
    }

    async fn note_declined(&self, handler: &HandlerName, declined: Option<(VersionNumber, String)>) {
        let Some((version, why)) = declined else { return };
        let instead = self.running.get(handler).and_then(|running| running.program.version);
        let goes_on = self.running.contains_key(handler);
        tracing::error!(%handler, %version, why, goes_on, "a version cannot run here");
        let declined = Declined { host: self.host.clone(), version, why, instead, at: Timestamp::now() };
        let entry = declined.write(self.fitter.layout.declined(handler, &self.host));
        if let Err(error) = commit(self.fitter.log.as_ref(), vec![entry]).await {
            tracing::warn!(%handler, %error, "whoever deploys does not hear of it");
        }
    }
}
