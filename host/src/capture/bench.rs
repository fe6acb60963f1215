//! Where a module runs one event after another, with time and chance fixed, and nothing of it is written.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;
use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateView},
};
use waxwing_event::{Digest, Event, HandlerSpec, Outcome, handler::Instance};
use waxwing_sandbox::{Ear, Sandbox, Study, Used};

/// A handler's module, ready.
pub struct Bench {
    /// What the manifest says of it.
    pub spec: HandlerSpec,
    module: Arc<dyn Invoke>,
    now: Arc<Mutex<Timestamp>>,
    heard: Arc<Heard>,
    // Outlives the runs.
    _sandbox: Arc<Sandbox>,
}

/// A run.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// Time in the sandbox.
    pub elapsed: Duration,
    /// What it has used.
    pub used: Used,
    /// What it has written to its log.
    pub lines: Vec<Line>,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its level, in lower case.
    pub level: String,
    /// What it says, with its fields.
    pub text: String,
}

#[derive(Debug, Default)]
struct Heard(Mutex<(Used, Vec<Line>)>);

impl Bench {
    /// Loads a module; compiling it takes time.
    pub fn set(sandbox: Arc<Sandbox>, mut spec: HandlerSpec, bytes: &[u8]) -> Result<Bench> {
        // What an instance keeps in its memory is not known.
        spec.instance = Instance::Fresh;
        let (now, heard) = (Arc::new(Mutex::new(Timestamp::UNIX_EPOCH)), Arc::new(Heard::default()));
        let told = now.clone();
        let since = move || {
            let now = *locked(&told);
            Duration::try_from(now.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
        };
        let study = Study { now: Arc::new(since), ear: Some(heard.clone()) };
        let module = sandbox.load_for_study(&spec, bytes, None, study);
        let module = module.with_context(|| format!("handler `{}` cannot run its module", spec.name))?;
        Ok(Bench { spec, module, now, heard, _sandbox: sandbox })
    }

    /// Which module it is.
    pub fn digest(&self) -> Digest {
        self.module.digest()
    }

    /// Runs an event at this time, one at a time.
    pub async fn run(&self, event: Arc<Event>, state: Arc<dyn StateView>, now: Timestamp) -> Result<Ran> {
        *locked(&self.now) = now;
        *locked(&self.heard.0) = Default::default();
        let (sender, receiver) = oneshot::channel();
        let reporter = Box::new(move |report| drop(sender.send(report)));
        self.module.invoke(Run { event, state, is_asked: false, reporter });
        let Report { outcome, elapsed } = receiver.await.context("the sandbox has ended")?;
        let (used, lines) = std::mem::take(&mut *locked(&self.heard.0));
        Ok(Ran { outcome, elapsed, used, lines })
    }
}

impl Ear for Heard {
    fn line(&self, level: tracing::Level, message: &str, fields: &str) {
        let gap = if fields.is_empty() { "" } else { " " };
        let line = Line { level: level.to_string().to_lowercase(), text: format!("{message}{gap}{fields}") };
        locked(&self.0).1.push(line);
    }

    fn used(&self, used: Used) {
        locked(&self.0).0 = used;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
