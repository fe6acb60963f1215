//! A trial: one run of a module on a log in memory of its own, made for what a test says that the run finds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::Notify, time::timeout};
use waxwing_engine::entry::Partition;
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    entry::{Layout, aggregate, state, timer, tombstone},
    port::{
        Clock, Invoke, Log, Observe,
        invoke::{Report, Run},
        log::{Entry, NewEntry, Part, commit},
        observe::{Handled, PartitionChange, Visited},
    },
};
use waxwing_event::{
    Digest, Effects, Event, Failure, HandlerName, HandlerSpec, Outcome, Pattern, Position, Reply, decode,
    encode,
    handler::{Grants, OnExhausted, RetryPolicy},
    outcome::FailureKind,
};
use waxwing_log::MemoryLog;
use waxwing_request::MemoryRequests;
use waxwing_sandbox::{Sandbox, Secret, Secrets};

use super::form::{Asked, Came, Failed, Record, Reply as Told, Timer};

/// How long a run may take, its way through the engine included.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a module is tried in.
pub(super) struct Trial {
    /// The handler, as its manifest has it.
    pub(super) spec: HandlerSpec,
    /// Its module.
    pub(super) bytes: Arc<[u8]>,
    pub(super) sandbox: Arc<Sandbox>,
}

impl Trial {
    /// Runs it once.
    pub(super) async fn run(&self, asked: Asked) -> Result<Came> {
        let time = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(asked.now_ms))?;
        let event = asked.event.event().context("its event")?;
        let mut spec = self.spec(&asked.settings, asked.grants, asked.aggregate, (&event, asked.is_asked))?;
        spec.grants.secrets = asked.secrets.keys().cloned().collect();
        let secrets = asked.secrets.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        let secrets = Arc::new(Secrets::given(secrets));
        let (sandbox, bytes, loaded) = (self.sandbox.clone(), self.bytes.clone(), spec.clone());
        // Compiling takes time, and this thread serves others.
        let module =
            tokio::task::spawn_blocking(move || sandbox.load_with(&loaded, &bytes, secrets)).await??;
        let end = Arc::new(End::default());
        let module = Arc::new(As { module, event: event.clone(), end: end.clone() });
        let log = MemoryLog::new(Arc::new(Still(time)));
        let found = Found {
            state: asked.state,
            snapshots: asked.snapshots,
            histories: asked.histories,
            timers: asked.timers,
        };
        let stage =
            Stage { layout: Layout::new("test".parse()?), spec: &spec, log: &log, key: event.key.clone() };
        stage.lay_out(found, module.digest()).await?;
        let before = log.bounds().await?.last;
        if !asked.is_asked {
            stage.publish(&event, asked.timer, time).await?;
        }
        let requests = MemoryRequests::default();
        let ports = Ports::new(Arc::new(log.clone()), Arc::new(Still(time)), end.clone());
        let ports = Ports { requests: Some(Arc::new(requests.clone())), ..ports };
        let hosted = Hosted::new(spec.clone(), module);
        let engine = Engine::start(Options::new("test".parse()?, "test"), ports, vec![hosted]).await?;
        let is_over = async {
            // Until the handler has found its place, it refuses requests.
            while asked.is_asked && !end.has_run() {
                let (headers, data) = (encode::headers(&event), event.data.clone());
                requests.request(&event.subject, headers, data).await.context("nobody answers")?;
            }
            end.over.notified().await;
            anyhow::Ok(())
        };
        timeout(PATIENCE, is_over).await.context("the run does not end")??;
        engine.drain(PATIENCE).await;
        match end.outcome().context("the module was not run")? {
            Outcome::Done(Effects { reply, .. }) => stage.tell(before, reply).await,
            Outcome::Failed(failure) => Ok(Came { failure: Some(told(failure)), ..Came::default() }),
        }
    }

    /// The handler as the test has it: one that hears just this event, and is not tried again.
    fn spec(
        &self,
        settings: &BTreeMap<String, String>,
        grants: Option<Vec<String>>,
        aggregate: Option<String>,
        (event, is_asked): (&Event, bool),
    ) -> Result<HandlerSpec> {
        let subject = Pattern::from(&event.subject);
        let grants = grants.unwrap_or_else(|| vec![">".to_owned()]);
        let emit = grants.iter().map(|pattern| pattern.parse()).collect::<Result<_, _>>()?;
        let aggregate = aggregate.map(|subjects| subjects.parse()).transpose()?;
        Ok(HandlerSpec {
            stream: None,
            on: if is_asked { Vec::new() } else { vec![subject.clone()] },
            request: if is_asked { vec![subject] } else { Vec::new() },
            live: Vec::new(),
            dedupe_events: false,
            key: Vec::new(),
            retry: RetryPolicy { attempts: 1, immediate: 1, ..RetryPolicy::default() },
            on_exhausted: OnExhausted::DeadLetterEvent,
            grants: Grants { emit, files: self.spec.grants.files.clone(), ..Grants::default() },
            aggregate: aggregate.or_else(|| self.spec.aggregate.clone()),
            publish: None,
            settings: settings.clone(),
            ..self.spec.clone()
        })
    }
}

/// What a run finds in the log.
struct Found {
    state: BTreeMap<String, Vec<u8>>,
    snapshots: BTreeMap<String, u64>,
    histories: BTreeMap<String, Vec<Record>>,
    timers: BTreeMap<String, Timer>,
}

/// The log of a trial.
struct Stage<'a> {
    layout: Layout,
    spec: &'a HandlerSpec,
    log: &'a MemoryLog,
    /// The key of the event that is run.
    key: Option<String>,
}

impl Stage<'_> {
    fn name(&self) -> &HandlerName {
        &self.spec.name
    }

    async fn write(&self, entry: NewEntry) -> Result<()> {
        commit(self.log, vec![entry]).await?;
        Ok(())
    }

    /// Writes what the run shall find. A snapshot stands behind the events of which it tells.
    async fn lay_out(&self, found: Found, module: Digest) -> Result<()> {
        let Found { state, mut snapshots, histories, timers } = found;
        let mut events: Vec<(String, Event)> = Vec::new();
        for (id, history) in histories {
            for record in history {
                events.push((id.clone(), record.event()?));
            }
        }
        events.sort_by_key(|(_, event)| event.position);
        let save = async |key: &str, snapshot: Option<Digest>| -> Result<()> {
            let value = state.get(key).cloned().map(Bytes::from);
            self.write(state::write(self.layout.state(self.name(), key), value, snapshot)).await
        };
        for (id, event) in events {
            let due: Vec<String> =
                snapshots.extract_if(.., |_, after| *after < event.position.0).map(|(key, _)| key).collect();
            for key in due {
                save(&key, Some(module)).await?;
            }
            let subjects = self.spec.aggregate.as_ref().context(
                "the test gives an aggregate a history: name `aggregate` in the manifest, or `histories_on` in the test",
            )?;
            let mut entry = NewEntry::new(aggregate::subject(subjects, &id), event.data.clone());
            entry.headers = encode::headers(&event);
            self.write(entry).await?;
        }
        for key in state.keys() {
            if !self.is_written(key).await? {
                // A snapshot that is left tells of all events.
                save(key, snapshots.get(key).map(|_| module)).await?;
            }
        }
        for (id, Timer { due_ms, data, content_type, key }) in timers {
            let due = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(due_ms))?;
            let event = self.timer_event(&id, due, (data, content_type));
            let about = timer::About { due, key };
            self.write(timer::write(self.layout.timer(self.name(), &id), &about, &event)).await?;
        }
        Ok(())
    }

    async fn is_written(&self, key: &str) -> Result<bool> {
        Ok(self.log.last(&self.layout.state(self.name(), key)).await?.is_some())
    }

    fn timer_event(
        &self,
        id: &str,
        due: Timestamp,
        (data, content_type): (Vec<u8>, Option<String>),
    ) -> Event {
        Event {
            id: format!("timer-{id}"),
            source: self.layout.source(self.name()),
            event_type: timer::EVENT_TYPE.to_owned(),
            subject: self.layout.timer(self.name(), id),
            about: Some(id.to_owned()),
            time: Some(due.to_string()),
            content_type,
            data_schema: None,
            correlation_id: format!("timer-{id}"),
            causation_id: None,
            extensions: Vec::new(),
            key: None,
            position: Position::NONE,
            attempt: 1,
            data: data.into(),
        }
    }

    /// Publishes the event, or sets the timer whose event it is.
    async fn publish(&self, event: &Event, timer: Option<String>, now: Timestamp) -> Result<()> {
        let entry = match timer {
            Some(id) => {
                let about = timer::About { due: now, key: event.key.clone() };
                let data = (event.data.to_vec(), event.content_type.clone());
                let event = self.timer_event(&id, now, data);
                timer::write(self.layout.timer(self.name(), &id), &about, &event)
            }
            None => {
                let mut entry = NewEntry::new(event.subject.clone(), event.data.clone());
                entry.headers = encode::headers(event);
                entry
            }
        };
        self.write(entry).await
    }

    /// What stands in the log after the run.
    async fn tell(&self, before: Position, reply: Option<Reply>) -> Result<Came> {
        let mut came = Came { reply: reply.map(answered), ..Came::default() };
        let last = self.log.bounds().await?.last;
        let mut reader = self.log.read(Position::NONE.next(), &[], Part::Whole).await?;
        let mut read = Position::NONE;
        while read < last {
            for entry in reader.next(1000).await? {
                read = entry.position;
                self.take(entry, before, &mut came)?;
            }
        }
        Ok(came)
    }

    fn take(&self, entry: Entry, before: Position, came: &mut Came) -> Result<()> {
        if let Some(key) = self.layout.state_key(self.name(), &entry.subject) {
            let is_snapshot = state::snapshot_of(&entry).is_some();
            came.snapshots.retain(|snapshot| *snapshot != key);
            came.snapshots.extend(is_snapshot.then(|| key.clone()));
            match state::value(entry) {
                Some(value) => drop(came.state.insert(key, value.into())),
                None => drop(came.state.remove(&key)),
            }
            return Ok(());
        }
        if let Some(id) = self.layout.timer_id(self.name(), &entry.subject) {
            came.timers.remove(&id);
            if !tombstone::is(&entry) {
                let timer::About { due, key } = timer::About::read(&entry)?;
                // The engine knows no key here; the module was given the test's.
                let key = if entry.position > before { self.key.clone() } else { key };
                let content_type = entry.headers.get("ce-datacontenttype").map(str::to_owned);
                let due_ms = due.as_millisecond();
                came.timers.insert(id, Timer { due_ms, data: entry.payload.into(), content_type, key });
            }
            return Ok(());
        }
        let id = self.spec.aggregate.as_ref().and_then(|subjects| aggregate::id(subjects, &entry.subject));
        let is_said =
            entry.position > before && entry.headers.get(waxwing_engine::entry::mark::HEADER).is_some();
        if id.is_none() && (!is_said || self.layout.everything().matches(entry.subject.as_str())) {
            return Ok(());
        }
        let event = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload)?;
        if let Some(id) = id {
            came.histories.entry(id).or_default().push(Record::of(event.clone()));
        }
        if is_said {
            came.emitted.push(Record::of(event));
        }
        Ok(())
    }
}

fn told(failure: Failure) -> Failed {
    let after_ms = failure.after.and_then(|after| u64::try_from(after.as_millis()).ok());
    let is_retry = matches!(failure.kind, FailureKind::Retry | FailureKind::Unavailable);
    let on_stack = |functions: String| format!("\n  in {}", functions.replace('\n', "\n  in "));
    let reason = failure.reason + &failure.backtrace.map(on_stack).unwrap_or_default();
    Failed { is_retry, after_ms, reason }
}

fn answered(reply: Reply) -> Told {
    let Reply { data, content_type, attributes } = reply;
    Told { data: data.into(), content_type, attributes: attributes.into_iter().collect() }
}

/// Time that stands still; who waits, waits by the machine's clock.
struct Still(Timestamp);

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Runs a module on the event as the test has it: with the key and the attempt that it says.
struct As {
    module: Arc<dyn Invoke>,
    event: Event,
    end: Arc<End>,
}

impl Invoke for As {
    fn invoke(&self, run: Run) {
        let Run { event, state, is_asked, reporter } = run;
        let event = Arc::new(Event {
            key: self.event.key.clone(),
            attempt: self.event.attempt,
            position: self.event.position,
            ..event.as_ref().clone()
        });
        let end = self.end.clone();
        let reporter = Box::new(move |report: Report| {
            end.take(report.outcome.clone());
            reporter(report);
        });
        self.module.invoke(Run { event, state, is_asked, reporter });
    }

    fn digest(&self) -> Digest {
        self.module.digest()
    }
}

/// How the run ended.
#[derive(Default)]
struct End {
    outcome: Mutex<Option<Outcome>>,
    over: Notify,
}

impl End {
    fn take(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn has_run(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Observe for End {
    fn handled(&self, _: &Handled<'_>) {
        self.over.notify_one();
    }

    fn visited(&self, _: &Visited<'_>) {
        self.over.notify_one();
    }

    fn partition(&self, _: &HandlerName, _: Partition, _: &PartitionChange) {}
}
