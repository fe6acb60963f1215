//! The handle: takes runs of one handler and keeps them until a worker has time.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use waxwing_engine::port::invoke::{Invoke, Report, Reporter, Run};
use waxwing_event::{
    Digest, Failure, HandlerName, HandlerSpec, Outcome, Subject,
    handler::{Grants, Instance, Limits},
    http::HttpLimits,
    outcome::FailureKind,
};

use crate::{
    foreign::Asker, guest::Task, http::Client, imports::files::Preopen, module::Module, schedule::Schedule,
    secrets::Secrets, study::Study,
};

/// A loaded handler. Dropping it lets go of its instances; runs that wait are still run.
#[derive(Debug)]
pub struct Handler {
    loaded: Arc<Loaded>,
    schedule: Arc<Schedule>,
}

impl Handler {
    /// A handle to a handler that takes part in this schedule.
    pub(crate) fn new(loaded: Arc<Loaded>, schedule: Arc<Schedule>) -> Handler {
        Handler { loaded, schedule }
    }
}

impl Invoke for Handler {
    fn invoke(&self, run: Run) {
        let Run { event, state, is_asked, reporter } = run;
        let task = Task { event, state, is_asked };
        self.schedule.submit(&self.loaded, Job { task, reply: Reply(Some(reporter)) });
    }

    fn digest(&self) -> Digest {
        self.loaded.module.digest
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.loaded.retired.store(true, Ordering::SeqCst);
        self.schedule.tell_retired();
    }
}

/// What workers need of a handler.
pub(crate) struct Loaded {
    /// Its name.
    pub(crate) name: HandlerName,
    /// What it runs.
    pub(crate) module: Arc<Module>,
    /// How long its instances live.
    pub(crate) instance: Instance,
    /// What a run may use.
    pub(crate) limits: Limits,
    /// How long a run waits for its state.
    pub(crate) state_wait: Duration,
    /// What its HTTP calls may use up.
    pub(crate) http: HttpLimits,
    /// What lies around its runs.
    pub(crate) surroundings: Surroundings,
    /// What a run may do.
    pub(crate) grants: Grants,
    /// Where its aggregates have their histories.
    pub(crate) aggregate: Option<Subject>,
    /// True where its events come from a stream that the app does not own.
    pub(crate) reads_elsewhere: bool,
    /// Named values for it.
    pub(crate) settings: BTreeMap<String, String>,
    retired: AtomicBool,
    queue: Mutex<Queue>,
}

/// What lies around a handler's runs, outside of the log.
pub(crate) struct Surroundings {
    /// The app to which it belongs.
    pub(crate) app: String,
    /// Makes its HTTP calls; none: they are refused.
    pub(crate) client: Option<Arc<Client>>,
    /// The directories that it may use.
    pub(crate) preopens: Vec<Preopen>,
    /// Where its secrets are.
    pub(crate) secrets: Arc<Secrets>,
    /// How it is studied; none: not at all.
    pub(crate) study: Option<Study>,
    /// Where its questions to others go; none: they are refused.
    pub(crate) asker: Option<Asker>,
}

impl Loaded {
    /// A handler without runs.
    pub(crate) fn new(
        spec: &HandlerSpec,
        module: Arc<Module>,
        state_wait: Duration,
        surroundings: Surroundings,
    ) -> Loaded {
        Loaded {
            name: spec.name.clone(),
            instance: if module.may_reuse() { spec.instance } else { Instance::Fresh },
            module,
            limits: spec.limits.clone(),
            state_wait,
            http: spec.http,
            surroundings,
            grants: spec.grants.clone(),
            aggregate: spec.aggregate.clone(),
            reads_elsewhere: spec.stream.is_some(),
            settings: spec.settings.clone(),
            retired: AtomicBool::new(false),
            queue: Mutex::default(),
        }
    }

    /// Its runs, waiting and under way. The lock is held for moments only.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once nobody holds its handle.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("name", &self.name)
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}

/// The runs of a handler.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Runs that wait for a worker, oldest first.
    pub(crate) jobs: VecDeque<Job>,
    /// True while the handler stands in the schedule's ring.
    pub(crate) queued: bool,
    /// Runs that a worker has taken and that have not ended.
    pub(crate) live: usize,
    /// Those of them that have been made to give way.
    pub(crate) slow: usize,
    /// True once the sandbox has ended.
    pub(crate) closed: bool,
}

/// A run that waits for a worker.
pub(crate) struct Job {
    /// What it is about.
    pub(crate) task: Task,
    /// Where its end is told.
    pub(crate) reply: Reply,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("event", &self.task.event.id).finish_non_exhaustive()
    }
}

/// Tells the end of a run, once: what is dropped without one ends as not available.
pub(crate) struct Reply(Option<Reporter>);

impl Reply {
    /// Tells the end.
    pub(crate) fn send(mut self, outcome: Outcome, elapsed: Duration) {
        self.tell(Report { outcome, elapsed });
    }

    fn tell(&mut self, report: Report) {
        let Some(reporter) = self.0.take() else { return };
        // A panic of the reporter's is none of the worker's, and while one unwinds another would end the process.
        if catch_unwind(AssertUnwindSafe(|| reporter(report))).is_err() {
            tracing::error!("what a run was reported to panicked");
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.0.is_some() {
            let failure = Failure::new(FailureKind::Unavailable, "the sandbox ended before the run did");
            self.tell(Report { outcome: Outcome::Failed(failure), elapsed: Duration::ZERO });
        }
    }
}
