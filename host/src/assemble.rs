//! Puts the parts together: the only place that names log, requests, sandbox and engine at once.

use std::{
    env,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use async_nats::jetstream as client;
use async_trait::async_trait;
use cap_std::fs::Dir;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use waxwing_engine::{
    Engine, Options, Ports, Program,
    engine::{Drained, Put},
    entry::Layout,
    gauges::HandlerGauges,
    port::{Clock, Log, Observe, Outside, Requests, clock::SystemClock},
    trace::Sampling,
};
use waxwing_event::{AppName, HandlerName, HandlerSpec, Pattern, handler::View, secret::SecretPlace};
use waxwing_log::{
    JetStreamLog, JetStreamOutside, MemoryLog,
    jetstream::{self, ModuleStore},
    memory,
};
use waxwing_request::{
    NatsAsk, NatsRequests,
    nats::{Dial, DialError},
    service::Service,
};
use waxwing_sandbox::{Figures, Sandbox, Secrets};

use crate::{
    config::{AppConfig, Storage},
    deploy::{
        fitting::{Fitted, Fitter, lacks},
        following::Follower,
    },
    identity::Identity,
    module::Module,
    nats::Target,
    own_folder::OwnFolder,
};

/// The most instances of modules that run as shadows.
const SHADOW_INSTANCES: u32 = 64;

/// What a host is made from.
pub struct Setup {
    /// What the manifest says.
    pub config: AppConfig,
    /// The modules of its handlers, in their order.
    pub modules: Vec<Module>,
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// What lies outside of it.
    pub outside: Outside,
    /// Who watches.
    pub observe: Arc<dyn Observe>,
    /// Where requests and live messages come from; none: they are not served.
    pub requests: Option<Target>,
    /// The host's own folder, for compiled code and for its identity; none: it keeps nothing.
    pub own: Option<OwnFolder>,
}

/// Handlers that are ready to run, on no log yet: what is wrong with a module is found before anything is made.
pub struct Loaded {
    config: AppConfig,
    identity: Identity,
    sandbox: Arc<Sandbox>,
    hosted: Vec<Fitted>,
    follower: Option<Follower>,
    others_may_come: bool,
    traces: Option<Sampling>,
}

impl Loaded {
    /// Loads every module.
    pub async fn new(config: AppConfig, modules: Vec<Module>, own: Option<&OwnFolder>) -> Result<Loaded> {
        let identity = own.map_or_else(|| Ok(Identity::new()), OwnFolder::identity)?;
        let cache = own.map(OwnFolder::cache).transpose()?;
        // Compiling takes time, and this thread may serve others.
        let loaded = tokio::task::spawn_blocking(move || {
            let (sandbox, hosted) = load(&config, &modules, cache)?;
            let sandbox = Arc::new(sandbox);
            Ok(Loaded {
                config,
                identity,
                sandbox,
                hosted,
                follower: None,
                others_may_come: false,
                traces: None,
            })
        });
        loaded.await.context("loading the modules was interrupted")?
    }

    /// Loads nothing: the handlers of this manifest come later, by [`Host::put`]. What is compiled is not kept.
    pub fn nothing(config: AppConfig, own: &OwnFolder) -> Result<Loaded> {
        let (identity, sandbox) = (own.identity()?, Arc::new(granted(&config, None)?));
        let (hosted, follower, traces) = (Vec::new(), None, None);
        Ok(Loaded { config, identity, sandbox, hosted, follower, others_may_come: true, traces })
    }

    /// Runs what is deployed by this log, from the beginning and whenever that changes; modules come from `store`.
    pub async fn follow(mut self, log: &Arc<dyn Log>, store: ModuleStore) -> Result<Loaded> {
        let fitter = Fitter {
            log: log.clone(),
            layout: Layout::new(self.config.app.clone()),
            events: self.config.events.clone(),
            required: self.config.require_signature.and(&self.config.host.require_signature),
            sandbox: self.sandbox.clone(),
            shadows: Default::default(),
            shadow_options: shadow_options(&self.config),
            labels: self.config.host.labels.clone(),
            store,
        };
        let own = self.hosted.drain(..).map(|fitted| (fitted.spec.name.clone(), fitted)).collect();
        let host = (self.identity.id().to_owned(), self.config.host.grace);
        self.follower = Some(Follower::begin(fitter, host, own).await?);
        self.others_may_come = true;
        Ok(self)
    }

    /// Makes runs parts of traces; of those that begin here, these are kept.
    pub fn traced(self, sampling: Sampling) -> Loaded {
        Loaded { traces: Some(sampling), ..self }
    }

    /// The host's id.
    pub fn host(&self) -> &str {
        self.identity.id()
    }

    /// The handlers that run first.
    pub fn handlers(&self) -> Vec<HandlerName> {
        self.running().into_iter().map(|fitted| fitted.spec.name).collect()
    }

    fn running(&self) -> Vec<Fitted> {
        self.follower.as_ref().map_or_else(|| self.hosted.clone(), Follower::running)
    }
}

/// A running host. Dropped, it stops in the midst of things, as a crash would.
pub struct Host {
    follow: Option<AbortOnDropHandle<()>>,
    engine: Arc<Mutex<Option<Engine>>>,
    // These two outlive the engine's runs.
    sandbox: Arc<Sandbox>,
    _identity: Identity,
}

impl Host {
    /// Loads every module, then begins to read. Must be called within a tokio runtime.
    pub async fn start(setup: Setup) -> Result<Host> {
        let Setup { config, modules, log, outside, observe, requests, own } = setup;
        let loaded = Loaded::new(config, modules, own.as_ref()).await?;
        Host::begin(loaded, log, outside, requests, observe).await
    }

    /// Begins to read, and to take requests where they come from. Must be called within a tokio runtime.
    pub async fn begin(
        loaded: Loaded,
        log: Arc<dyn Log>,
        outside: Outside,
        requests: Option<Target>,
        observe: Arc<dyn Observe>,
    ) -> Result<Host> {
        let running = loaded.running();
        let Loaded { config, identity, sandbox, follower, others_may_come, traces, .. } = loaded;
        let asked = requests.clone();
        let is_asked = |fitted: &Fitted| !(fitted.spec.request.is_empty() && fitted.spec.live.is_empty());
        let some_are_asked = running.iter().any(is_asked);
        // Without a server nobody asks, so of those that may come nothing has to be said.
        let requests = if some_are_asked || (others_may_come && requests.is_some()) {
            open_requests(&config, &running, requests, identity.id()).await?
        } else {
            None
        };
        if let Some(target) = asked {
            sandbox.ask_by(Arc::new(NatsAsk::new(Arc::new(Dialled("questions", target)))));
        }
        let options = Options { traces, ..options(&config, &identity) };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let hosted = running.into_iter().map(Fitted::hosted).collect();
        let engine = Engine::start(options, Ports { log, clock, observe, outside, requests }, hosted).await;
        let engine = Arc::new(Mutex::new(Some(engine.context("the log takes nothing")?)));
        let follow =
            follower.map(|follower| AbortOnDropHandle::new(tokio::spawn(follower.run(engine.clone()))));
        Ok(Host { follow, engine, sandbox, _identity: identity })
    }

    /// Where it is read what the host shows of itself, for as long as it runs.
    pub fn showing(&self) -> Showing {
        Showing { engine: self.engine.clone(), sandbox: Arc::downgrade(&self.sandbox) }
    }

    /// Loads a handler's module, for [`Host::put`]; what runs goes on meanwhile.
    pub async fn load(&self, spec: HandlerSpec, bytes: Arc<[u8]>) -> Result<Fitted> {
        let sandbox = self.sandbox.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let module = sandbox.load(&spec, &bytes)?;
            Ok(Fitted::new(spec, Program::new(module)))
        });
        loading.await.context("loading the module was interrupted")?
    }

    /// Runs a handler from now on, see [`Engine::put`]; none where the host is stopping.
    pub async fn put(&self, fitted: Fitted, grace: Duration) -> Option<Put> {
        let mut engine = self.engine.lock().await;
        Some(engine.as_mut()?.put(fitted.hosted(), grace).await)
    }

    /// Runs a handler no more, see [`Engine::remove`].
    pub async fn remove(&self, handler: &HandlerName, grace: Duration) -> bool {
        match self.engine.lock().await.as_mut() {
            Some(engine) => engine.remove(handler, grace).await,
            None => false,
        }
    }

    /// Stops reading, finishes what is under way, and gives the partitions up; see [`Engine::drain`].
    pub async fn drain(mut self, grace: Duration) -> Drained {
        // What it takes up at this moment is not left half-way, if it comes to an end in time.
        let taken = tokio::time::timeout(grace, async { self.engine.lock().await.take() }).await;
        drop(self.follow.take());
        let engine = match taken {
            Ok(engine) => engine,
            Err(_) => self.engine.lock().await.take(),
        };
        match engine {
            Some(engine) => engine.drain(grace).await,
            None => Drained::Whole,
        }
    }
}

/// What a host shows of itself.
#[derive(Clone)]
pub struct Showing {
    engine: Arc<Mutex<Option<Engine>>>,
    sandbox: Weak<Sandbox>,
}

impl Showing {
    /// The handlers that it hosts; none where they come or go at this moment.
    pub fn hosted(&self) -> Option<Vec<(Arc<HandlerSpec>, HandlerGauges)>> {
        Some(self.engine.try_lock().ok()?.as_ref()?.hosted())
    }

    /// How its sandbox stands.
    pub fn figures(&self) -> Figures {
        self.sandbox.upgrade().map(|sandbox| sandbox.figures()).unwrap_or_default()
    }
}

/// What the engine is told of an app and of this host.
pub fn options(config: &AppConfig, identity: &Identity) -> Options {
    Options {
        lease: config.host.lease,
        labels: config.host.labels.clone(),
        standby: config.host.standby,
        events: config.events.clone(),
        ..Options::new(config.app.clone(), identity.id())
    }
}

/// A sandbox of which those outside may notice what is granted.
fn granted(config: &AppConfig, cache: Option<Dir>) -> Result<Sandbox> {
    let outside = waxwing_sandbox::Outside::Granted;
    Ok(Sandbox::new(waxwing_sandbox::Options { outside, ..sandbox_options(config, cache) })?)
}

fn load(config: &AppConfig, modules: &[Module], cache: Option<Dir>) -> Result<(Sandbox, Vec<Fitted>)> {
    let sandbox = granted(config, cache)?;
    let mut hosted = Vec::with_capacity(modules.len());
    for (handler, module) in config.handlers.iter().zip(modules) {
        let name = &handler.spec.name;
        // Before it is loaded: its directories and its secrets are on other hosts.
        if let Some(label) = lacks(&handler.spec, &config.host.labels) {
            tracing::info!(handler = %name, %label, "does not run here: the host lacks a label that it requires");
            continue;
        }
        let loaded = sandbox.load(&handler.spec, &module.bytes);
        let loaded =
            loaded.with_context(|| format!("handler `{name}` cannot run the module of {}", module.source))?;
        hosted.push(Fitted::new(handler.spec.clone(), Program::new(loaded)));
    }
    Ok((sandbox, hosted))
}

/// Where requests come from.
async fn open_requests(
    config: &AppConfig,
    running: &[Fitted],
    target: Option<Target>,
    host: &str,
) -> Result<Option<Arc<dyn Requests>>> {
    let Some(target) = target else {
        tracing::warn!("requests and live messages are not served: there is no NATS server");
        return Ok(None);
    };
    let service =
        Service::new(config.app.clone(), host.to_owned(), running.iter().map(|fitted| &fitted.spec));
    let opened = NatsRequests::open(Arc::new(Dialled("requests", target)), service).await;
    let opened = opened.map_err(|error| anyhow!(error)).context("requests cannot be served")?;
    Ok(Some(Arc::new(opened)))
}

/// Connections for requests, and for questions: of their own, as a message can end the one that it comes in on.
struct Dialled(&'static str, Target);

#[async_trait]
impl Dial for Dialled {
    async fn dial(&self) -> Result<async_nats::Client, DialError> {
        Ok(self.1.connect(self.0).await?.client().clone())
    }
}

/// A sandbox in which this app's handlers can be loaded, for runs that nobody outside is to notice.
pub fn sandbox(config: &AppConfig, cache: Option<Dir>) -> Result<Sandbox> {
    Ok(Sandbox::new(sandbox_options(config, cache))?)
}

/// How the sandbox is set up in which shadows run: on one thread of its own that gives way to others, and unnoticed by
/// anybody.
fn shadow_options(config: &AppConfig) -> Box<dyn Fn() -> waxwing_sandbox::Options + Send + Sync> {
    let config = config.clone();
    Box::new(move || waxwing_sandbox::Options {
        workers: NonZeroUsize::MIN,
        priority: waxwing_sandbox::Priority::Least,
        instances: SHADOW_INSTANCES,
        ..sandbox_options(&config, None)
    })
}

fn sandbox_options(config: &AppConfig, cache: Option<Dir>) -> waxwing_sandbox::Options {
    let mut options = waxwing_sandbox::Options {
        cache,
        outside: waxwing_sandbox::Outside::Rehearsed,
        app: config.app.to_string(),
        folder: Some(config.folder.clone()),
        ..waxwing_sandbox::Options::default()
    };
    if let Some(workers) = config.host.workers {
        options.workers = workers;
    }
    options.secrets = secrets(config);
    let memory = config.handlers.iter().map(|handler| handler.spec.limits.memory_bytes).max();
    options.memory_bytes_max = memory.unwrap_or_default().max(options.memory_bytes_max);
    options
}

/// Where a folder lies that holds secrets, each in a file of its name: what Kubernetes mounts, systemd's `%d`.
const SECRETS_FOLDER: &str = "WAXWING_SECRETS_DIR";

/// The secrets of this machine, as far as handlers may read them.
pub fn secrets(config: &AppConfig) -> Secrets {
    let place = |place: &SecretPlace| match place {
        SecretPlace::File(path) => SecretPlace::File(config.folder.join(path)),
        SecretPlace::Variable(name) => SecretPlace::Variable(name.clone()),
    };
    let named = config.host.secrets.iter().map(|(name, named)| (name.clone(), place(named))).collect();
    let folder = env::var_os(SECRETS_FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    Secrets::of_host(named, folder)
}

/// The app's log on NATS; made where there is none.
pub async fn open_log(config: &AppConfig, target: &Target) -> Result<Arc<dyn Log>> {
    Ok(Arc::new(JetStreamLog::open(&target.server(), &log_options(config)?).await?))
}

/// The app's modules on NATS.
pub fn modules(app: &AppName, target: &Target) -> ModuleStore {
    ModuleStore::new(target.server(), Layout::new(app.clone()).modules())
}

/// What a manifest asks of the app's log on NATS.
pub fn log_options(config: &AppConfig) -> Result<jetstream::Options> {
    let mut options = jetstream::Options::new(config.app.clone(), config.events.clone());
    options.retention = config.retention;
    (options.storage, options.replicas) = kept_on(config)?;
    options.buckets = published(config).cloned().collect();
    Ok(options)
}

/// On what the app's log and its modules are kept on NATS, and how often.
pub fn kept_on(config: &AppConfig) -> Result<(jetstream::Storage, usize)> {
    let storage = match config.storage {
        Storage::File => jetstream::Storage::File,
        Storage::Memory => jetstream::Storage::Memory,
    };
    Ok((storage, usize::try_from(config.replicas)?))
}

/// The handlers whose state is shown in a bucket.
fn published(config: &AppConfig) -> impl Iterator<Item = &HandlerName> {
    let specs = config.handlers.iter().map(|handler| &handler.spec);
    specs.filter(|spec| spec.publish == Some(View::Kv)).map(|spec| &spec.name)
}

/// What lies outside the app's log on NATS, as far as its handlers need it; an error where a stream that one of
/// them reads cannot be read.
pub async fn outside(config: &AppConfig, target: &Target) -> Result<Outside> {
    let mut specs = config.handlers.iter().map(|handler| &handler.spec);
    if specs.any(|spec| spec.stream.is_some() || spec.grants.leave_the_log()) {
        all_outside(config, target).await
    } else {
        Ok(Outside::default())
    }
}

/// The same, also for handlers that may come later.
pub async fn all_outside(config: &AppConfig, target: &Target) -> Result<Outside> {
    let specs = config.handlers.iter().map(|handler| &handler.spec);
    let outside = JetStreamOutside::connect(&target.server()).await?.into_port();
    for spec in specs {
        if let Some(stream) = &spec.stream {
            let opened = outside.streams.open(stream).await;
            opened.with_context(|| format!("handler `{}` cannot read its stream", spec.name))?;
        }
    }
    Ok(outside)
}

/// The app's log on NATS as it is; an error where there is none.
pub async fn existing_log(app: &AppName, target: &Target) -> Result<Arc<dyn Log>> {
    Ok(existing_log_and_events(app, target).await?.0)
}

/// The same, and the subjects of events that it keeps.
pub async fn existing_log_and_events(app: &AppName, target: &Target) -> Result<(Arc<dyn Log>, Vec<Pattern>)> {
    let stream = Layout::new(app.clone()).stream();
    let link = target.connect("looking").await?;
    let found = client::new(link.client().clone()).get_stream(&stream).await;
    let config = match found {
        Ok(found) => found.cached_info().config.clone(),
        Err(error) => {
            let servers = target.shown();
            return Err(error).with_context(|| {
                format!("app `{app}` has no log `{stream}` at {servers}: start it with `waxwing run`, or name another --app")
            });
        }
    };
    let own = format!("wx.{app}.>");
    let events = config.subjects.iter().filter(|subject| **subject != own);
    let events: Vec<Pattern> = events.filter_map(|subject| subject.parse().ok()).collect();
    let mut options = jetstream::Options::new(app.clone(), events.clone());
    options.replicas = config.num_replicas;
    options.storage = match config.storage {
        client::stream::StorageType::File => jetstream::Storage::File,
        client::stream::StorageType::Memory => jetstream::Storage::Memory,
    };
    Ok((Arc::new(JetStreamLog::open(&target.server(), &options).await?), events))
}

/// Removes the app's log with all that is in it, and the buckets that show it.
pub async fn remove_log(config: &AppConfig, target: &Target) -> Result<()> {
    let layout = Layout::new(config.app.clone());
    let link = target.connect("cleaning up").await?;
    let context = client::new(link.client().clone());
    let buckets = published(config).map(|handler| format!("KV_{}", layout.bucket(handler)));
    for stream in buckets.chain([layout.stream()]) {
        let removed = context.delete_stream(&stream).await;
        removed.with_context(|| {
            format!("the stream `{stream}` is still there: remove it with `nats stream rm {stream}`")
        })?;
    }
    Ok(())
}

/// A log in memory for this app, gone with the process.
pub fn memory_log(config: &AppConfig) -> Arc<dyn Log> {
    for handler in published(config) {
        tracing::warn!(%handler, "its state is not shown in a bucket: there is no NATS server");
    }
    let mut subjects = config.events.clone();
    subjects.push(Layout::new(config.app.clone()).everything());
    let options = memory::Options { subjects, retention: config.retention, ..memory::Options::default() };
    Arc::new(MemoryLog::with_options(Arc::new(SystemClock), options))
}
