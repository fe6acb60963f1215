//! How fast a module starts: compiled, loaded, run.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use cap_std::{ambient_authority, fs::Dir};
use tempfile::TempDir;
use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateUnavailable, StateView},
};
use waxwing_event::{Event, HandlerSpec, Outcome, Position, Subject, handler::Instance};
use waxwing_sandbox::{Options, Outside, Sandbox};

use super::found::Found;
use crate::{assemble, config::AppConfig};

/// Runs after the first.
const RUNS: usize = 200;

/// No more of them are begun after so long: a run may take as long as its deadline.
const PATIENCE: Duration = Duration::from_secs(5);

/// The subject and type of the event.
const EVENT: &str = "waxwing.inspect";

/// What was measured.
pub(super) struct Times {
    /// Checked, compiled on all cores, and kept in a file.
    pub(super) compile: Duration,
    /// Read back from that file, and linked.
    pub(super) load: Duration,
    /// The first run: an instance is made, and called.
    pub(super) cold: Duration,
    /// The median of later runs, each in an instance of its own.
    pub(super) warm: Duration,
    /// How many later runs there were.
    pub(super) runs: usize,
    /// How the last of them ended; none: well.
    pub(super) ended: Option<String>,
}

/// A sandbox as hosts have it, in which nothing outside is reached.
pub(super) struct Bench {
    spec: HandlerSpec,
    /// What the handler's app says, where it is one of an app.
    config: Option<AppConfig>,
    memory_bytes: u64,
}

impl Bench {
    /// A bench for a module that begins with so much memory.
    pub(super) fn new(found: &Found, memory_bytes: u64) -> Result<Bench> {
        let (mut spec, config) = match &found.handler {
            Some((manifest, handler)) => (handler.spec.clone(), Some(manifest.config.clone())),
            None => (HandlerSpec::new("inspected".parse()?, Vec::new()), None),
        };
        // Of a module alone nobody has said how much it may have.
        if config.is_none() {
            spec.limits.memory_bytes = spec.limits.memory_bytes.max(memory_bytes);
        }
        spec.instance = Instance::Fresh;
        let memory_bytes = spec.limits.memory_bytes;
        Ok(Bench { spec, config, memory_bytes })
    }

    /// Compiles it, loads it, runs it.
    pub(super) fn measure(&self, module: &[u8]) -> Result<Times> {
        let folder = TempDir::new().context("there is no folder for compiled code")?;
        let cache = || Dir::open_ambient_dir(folder.path(), ambient_authority());
        let first = self.sandbox(cache()?)?;
        let began = Instant::now();
        first.load(&self.spec, module)?;
        let compile = began.elapsed();
        drop(first);

        let sandbox = self.sandbox(cache()?)?;
        let began = Instant::now();
        let handler = sandbox.load(&self.spec, module)?;
        let load = began.elapsed();
        let cold = run(handler.as_ref())?.elapsed;
        let began = Instant::now();
        let (mut taken, mut ended) = (Vec::with_capacity(RUNS), None);
        while taken.len() < RUNS && (taken.is_empty() || began.elapsed() < PATIENCE) {
            let Report { outcome, elapsed } = run(handler.as_ref())?;
            taken.push(elapsed);
            ended = match outcome {
                Outcome::Done(_) => None,
                Outcome::Failed(failure) => Some(failure.to_string()),
            };
        }
        taken.sort();
        let warm = taken.get(taken.len() / 2).copied().unwrap_or_default();
        Ok(Times { compile, load, cold, warm, runs: taken.len(), ended })
    }

    fn sandbox(&self, cache: Dir) -> Result<Sandbox> {
        match &self.config {
            Some(config) => assemble::sandbox(config, Some(cache)),
            None => {
                let usual = Options::default();
                let memory_bytes_max = usual.memory_bytes_max.max(self.memory_bytes);
                let outside = Outside::Rehearsed;
                Ok(Sandbox::new(Options { cache: Some(cache), outside, memory_bytes_max, ..usual })?)
            }
        }
    }
}

fn run(handler: &dyn Invoke) -> Result<Report> {
    let (sender, receiver) = mpsc::channel();
    let reporter = Box::new(move |report| drop(sender.send(report)));
    handler.invoke(Run { event: Arc::new(event()), state: Arc::new(Empty), is_asked: false, reporter });
    receiver.recv().context("the sandbox has ended")
}

fn event() -> Event {
    Event {
        id: EVENT.into(),
        source: "/waxwing/inspect".into(),
        event_type: EVENT.into(),
        subject: Subject::from_checked(EVENT),
        about: None,
        time: None,
        content_type: Some("application/json".into()),
        data_schema: None,
        correlation_id: EVENT.into(),
        causation_id: None,
        extensions: Vec::new(),
        key: Some(EVENT.into()),
        position: Position(0),
        attempt: 1,
        data: Bytes::from_static(b"{}"),
    }
}

/// State in which there is nothing.
struct Empty;

#[async_trait]
impl StateView for Empty {
    async fn get(&self, _: &str) -> Result<Option<Bytes>, StateUnavailable> {
        Ok(None)
    }

    async fn keys(&self, _: &str) -> Result<Vec<String>, StateUnavailable> {
        Ok(Vec::new())
    }
}
