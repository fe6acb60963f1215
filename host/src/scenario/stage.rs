//! The app's handlers on a log in memory, by one host after another: what a crash or a restart leaves is the log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use tokio::sync::Notify;
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    entry::{Layout, Partition},
    port::{
        Clock, Observe,
        log::{Committed, NewEntry, commit},
        observe::{Handled, PartitionChange},
    },
};
use waxwing_event::{HandlerName, HandlerSpec, SecretName, StreamName, handler::Instance};
use waxwing_log::{MemoryLog, MemoryOutside, memory};
use waxwing_request::MemoryRequests;
use waxwing_sandbox::{Sandbox, Secret, Secrets, Study};

use super::{
    fault::{Cut, Fault},
    pace::Pace,
    watched::{WatchedLog, Writing},
};
use crate::config::AppConfig;

/// The host, in all its lives: it takes back at once what it had.
const HOST: &str = "scenario";

/// Long, so that much time can pass in few steps.
const LEASE: Duration = Duration::from_secs(600);

/// How often it is saved how far a handler is.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// A handler that takes part.
#[derive(Debug, Clone)]
pub struct Player {
    /// What the manifest says of it.
    pub spec: HandlerSpec,
    /// Its module.
    pub bytes: Arc<[u8]>,
    /// Its secrets.
    pub secrets: BTreeMap<SecretName, Vec<u8>>,
}

/// A log in memory, and the host that is on it.
pub struct Stage {
    /// Time.
    pub pace: Pace,
    /// The app's log.
    pub log: MemoryLog,
    /// Where things stand in it.
    pub layout: Layout,
    /// Where somebody asks.
    pub requests: MemoryRequests,
    /// What hosts write.
    pub writing: Writing,
    players: Vec<Player>,
    sandbox: Arc<Sandbox>,
    config: Arc<AppConfig>,
    outside: MemoryOutside,
    streams: BTreeMap<StreamName, MemoryLog>,
    stopped: Arc<Stopped>,
    is_cut: Arc<Notify>,
    cut: Option<Cut>,
    /// How often the host has begun.
    pub lives: u64,
    engine: Option<Engine>,
}

impl Stage {
    /// An empty log, with nobody on it yet.
    pub fn new(
        config: Arc<AppConfig>,
        sandbox: Arc<Sandbox>,
        mut players: Vec<Player>,
        pace: Pace,
        fault: Fault,
    ) -> Stage {
        if fault == Fault::Fresh {
            players.iter_mut().for_each(|player| player.spec.instance = Instance::Fresh);
        }
        let clock: Arc<dyn Clock> = Arc::new(pace.clone());
        let layout = Layout::new(config.app.clone());
        let mut subjects = config.events.clone();
        subjects.push(layout.everything());
        let options = memory::Options { subjects, ..memory::Options::default() };
        let (outside, mut streams) = (MemoryOutside::default(), BTreeMap::new());
        for name in players.iter().filter_map(|player| player.spec.stream.clone()) {
            let stream = MemoryLog::new(clock.clone());
            outside.put_stream(name.clone(), Timestamp::UNIX_EPOCH, stream.clone());
            streams.insert(name, stream);
        }
        Stage {
            log: MemoryLog::with_options(clock, options),
            layout,
            requests: MemoryRequests::default(),
            writing: Writing::default(),
            pace,
            players,
            sandbox,
            config,
            outside,
            streams,
            stopped: Arc::default(),
            is_cut: Arc::new(Notify::new()),
            cut: fault.cut(),
            lives: 0,
            engine: None,
        }
    }

    /// The handlers that take part.
    pub fn handlers(&self) -> Vec<HandlerName> {
        self.players.iter().map(|player| player.spec.name.clone()).collect()
    }

    /// What the manifest says of the handlers that take part.
    pub fn specs(&self) -> impl Iterator<Item = &HandlerSpec> {
        self.players.iter().map(|player| &player.spec)
    }

    /// Writes to the app's log, or to a stream that handlers read, as anybody can.
    pub async fn write(&self, stream: Option<&StreamName>, entry: NewEntry) -> Result<Committed> {
        let log = match stream {
            None => &self.log,
            Some(name) => self
                .streams
                .get(name)
                .with_context(|| format!("no handler that takes part reads a stream `{name}`"))?,
        };
        let subject = entry.subject.clone();
        commit(log, vec![entry]).await.with_context(|| format!("nobody can publish on `{subject}`"))
    }

    /// Lets a host begin, with modules as they are when they are loaded, and waits until all is idle.
    pub async fn begin(&mut self) -> Result<()> {
        self.start().await?;
        self.settle().await
    }

    async fn start(&mut self) -> Result<()> {
        self.lives += 1;
        let log =
            WatchedLog::new(self.log.clone(), self.writing.clone(), self.cut.take(), self.is_cut.clone());
        let clock: Arc<dyn Clock> = Arc::new(self.pace.clone());
        let ports = Ports {
            outside: self.outside.port(),
            requests: Some(Arc::new(self.requests.clone())),
            ..Ports::new(Arc::new(log), clock, self.stopped.clone())
        };
        let options = Options {
            lease: LEASE,
            checkpoint_every: CHECKPOINT_EVERY,
            events: self.config.events.clone(),
            ..Options::new(self.config.app.clone(), HOST)
        };
        let hosted = self.players.iter().map(|player| self.hosted(player)).collect::<Result<_>>()?;
        tokio::select! {
            biased;
            engine = Engine::start(options, ports, hosted) => self.engine = Some(engine?),
            // It comes to an end while it begins: whoever waits for the host hears of it.
            () = self.is_cut.notified() => self.is_cut.notify_one(),
        }
        Ok(())
    }

    fn hosted(&self, Player { spec, bytes, secrets }: &Player) -> Result<Hosted> {
        let secrets =
            secrets.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
        let pace = self.pace.clone();
        let now =
            move || Duration::try_from(pace.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
        let study = Study { now: Arc::new(now), ear: None };
        let module = self.sandbox.load_for_study(spec, bytes, Some(Arc::new(Secrets::given(secrets))), study);
        let module = module.with_context(|| format!("handler `{}` cannot run its module", spec.name))?;
        Ok(Hosted::new(spec.clone(), self.pace.paced(spec.name.clone(), module)))
    }

    /// Waits until all that is due is done, through a crash where one is to come.
    pub async fn settle(&mut self) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                () = self.is_cut.notified() => self.recover().await?,
                () = self.pace.worn_out() => bail!("it does not come to rest: a handler runs again and again"),
                () = self.pace.idle() => match self.writing.take_late() {
                    Some(entries) => self.write_late(entries).await,
                    None => break,
                },
            }
        }
        self.stopped.check()
    }

    /// Waits for something that a host is to do, through a crash; none where all is idle and it is not done, or where a
    /// crash came first.
    pub async fn or_idle<T>(&mut self, wait: impl Future<Output = Option<T>>) -> Result<Option<T>> {
        tokio::pin!(wait);
        let end = tokio::select! {
            biased;
            () = self.is_cut.notified() => {
                self.is_cut.notify_one();
                None
            }
            end = &mut wait => end,
            () = self.pace.worn_out() => bail!("it does not come to rest: a handler runs again and again"),
            () = self.pace.idle() => None,
        };
        self.settle().await?;
        Ok(end)
    }

    /// The host is gone; another goes on from the log, with nothing else of it left.
    async fn recover(&mut self) -> Result<()> {
        self.engine = None;
        self.pace.forget_runs();
        self.start().await
    }

    /// What the host that is gone has sent arrives now. That it is refused is the log's affair.
    async fn write_late(&self, entries: Vec<NewEntry>) {
        if let Ok(committed) = commit(&self.log, entries.clone()).await {
            self.writing.note(entries, committed);
        }
    }

    /// The host stops in good order, and another begins.
    pub async fn restart(&mut self) -> Result<()> {
        if let Some(engine) = self.engine.take() {
            engine.drain(LEASE).await;
        }
        self.pace.forget_runs();
        self.begin().await
    }
}

/// Partitions that cannot go on.
#[derive(Default)]
struct Stopped(Mutex<Option<String>>);

impl Stopped {
    fn check(&self) -> Result<()> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(why) => bail!(why),
            None => Ok(()),
        }
    }
}

impl Observe for Stopped {
    fn handled(&self, _: &Handled<'_>) {}

    fn partition(&self, handler: &HandlerName, _: Partition, change: &PartitionChange) {
        if let PartitionChange::Stopped(why) = change {
            let mut stopped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *stopped = Some(format!("handler `{handler}` has stopped: {why}"));
        }
    }
}
