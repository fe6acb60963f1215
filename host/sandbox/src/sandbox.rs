//! The service: loads handlers, and owns the threads that run them.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use waxwing_engine::port::Ask;
use waxwing_event::HandlerSpec;

use crate::{
    Handler, LoadError, Options,
    background::Background,
    check::check,
    engine::{self, Engines},
    figures::Figures,
    foreign::Asker,
    handler::{Loaded, Surroundings},
    http::Client,
    imports::files,
    module::Modules,
    options::Outside,
    schedule::Schedule,
    secrets::Secrets,
    study::Study,
    ticker::Ticker,
    worker::{self, Assignment},
};

/// Runs guests. Dropping it ends its threads; runs that have not ended are reported as not available.
#[derive(Debug)]
pub struct Sandbox {
    modules: Modules,
    engines: Arc<Engines>,
    background: Background,
    schedule: Arc<Schedule>,
    memory_bytes_max: u64,
    state_wait: Duration,
    app: String,
    folder: Option<PathBuf>,
    outside: Outside,
    secrets: Arc<Secrets>,
    client: Arc<Client>,
    asker: Asker,
    workers: Vec<JoinHandle<()>>,
    // After the workers: they need it until they have ended.
    ticker: Ticker,
}

/// Why the sandbox could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Wasmtime refuses the configuration, or the system what it asks for.
    #[error(
        "the sandbox cannot reserve its memory: give it fewer instances, or raise vm.max_map_count and the limit \
         on address space ({0:#})"
    )]
    Engine(#[source] wasmtime::Error),
    /// What guests may import does not fit together.
    #[error("the sandbox cannot link its imports: {0:#}")]
    Link(#[source] wasmtime::Error),
    /// A thread could not be started.
    #[error("the sandbox cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Sandbox {
    /// Starts the sandbox's threads.
    pub fn new(options: Options) -> Result<Sandbox, StartError> {
        let engines = Arc::new(Engines::new(&options).map_err(StartError::Engine)?);
        let linker = engine::linker(engines.plain()).map_err(StartError::Link)?;
        let instances = engine::slots(&options) as usize / options.workers.get();
        let ticker = Ticker::start(engines.clone()).map_err(StartError::Thread)?;
        let mut sandbox = Sandbox {
            modules: Modules::new(engines.clone(), linker, options.cache),
            background: Background::default(),
            schedule: Arc::new(Schedule::new(options.workers.get(), engines.clone())),
            engines,
            memory_bytes_max: options.memory_bytes_max,
            state_wait: options.state_wait,
            app: options.app,
            folder: options.folder,
            outside: options.outside,
            secrets: Arc::new(options.secrets),
            client: Arc::default(),
            asker: Asker::default(),
            workers: Vec::new(),
            ticker,
        };
        for index in 0..options.workers.get() {
            let (schedule, ticker) = (sandbox.schedule.clone(), sandbox.ticker.handle());
            let priority = options.priority;
            let started = worker::start(Assignment { index, priority, instances, schedule, ticker });
            sandbox.workers.push(started.map_err(StartError::Thread)?);
        }
        Ok(sandbox)
    }

    /// How it stands.
    pub fn figures(&self) -> Figures {
        let (loads, loading) = self.modules.loads().read();
        Figures { loads, loading, ..self.engines.figures() }
    }

    /// Says by whom others are asked. Until then they are away; it is said once.
    pub fn ask_by(&self, asker: Arc<dyn Ask>) {
        self.asker.set(asker);
    }

    /// Loads a handler. The same module's code is shared by all handlers that run it.
    ///
    /// Compiling takes tens of milliseconds: keep it off threads that serve others.
    pub fn load(&self, spec: &HandlerSpec, module: &[u8]) -> Result<Arc<Handler>, LoadError> {
        self.load_into(spec, module, self.secrets.clone(), None)
    }

    /// Loads a handler while others run: on one thread, which gives way to theirs.
    pub fn load_in_background(&self, spec: &HandlerSpec, module: &[u8]) -> Result<Arc<Handler>, LoadError> {
        self.background.run(|| self.load(spec, module))
    }

    /// Loads a handler that has secrets of its own.
    pub fn load_with(
        &self,
        spec: &HandlerSpec,
        module: &[u8],
        secrets: Arc<Secrets>,
    ) -> Result<Arc<Handler>, LoadError> {
        self.load_into(spec, module, secrets, None)
    }

    /// Loads a handler that is studied; it has secrets of its own where some are given.
    pub fn load_for_study(
        &self,
        spec: &HandlerSpec,
        module: &[u8],
        secrets: Option<Arc<Secrets>>,
        study: Study,
    ) -> Result<Arc<Handler>, LoadError> {
        let secrets = secrets.unwrap_or_else(|| self.secrets.clone());
        self.load_into(spec, module, secrets, Some(study))
    }

    fn load_into(
        &self,
        spec: &HandlerSpec,
        module: &[u8],
        secrets: Arc<Secrets>,
        study: Option<Study>,
    ) -> Result<Arc<Handler>, LoadError> {
        let contract = check(module)?;
        let limit = spec.limits.memory_bytes;
        if limit > self.memory_bytes_max {
            return Err(LoadError::MemoryLimit { limit, most: self.memory_bytes_max });
        }
        if contract.memory_bytes > limit {
            return Err(LoadError::Memory { asked: contract.memory_bytes, limit });
        }
        if self.outside == Outside::Granted {
            spec.grants.secrets.iter().try_for_each(|name| secrets.read(name).map(drop))?;
        }
        let module = self.modules.load(module, &contract)?;
        let surroundings = Surroundings {
            app: self.app.clone(),
            client: (self.outside == Outside::Granted).then(|| self.client.clone()),
            preopens: files::open(self.folder.as_deref(), &spec.grants.files, self.outside)?,
            secrets,
            study,
            asker: (self.outside == Outside::Granted).then(|| self.asker.clone()),
        };
        let loaded = Arc::new(Loaded::new(spec, module, self.state_wait, surroundings));
        self.schedule.register(&loaded);
        Ok(Arc::new(Handler::new(loaded, self.schedule.clone())))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.schedule.close();
        for worker in self.workers.drain(..) {
            // A reporter may hold the last handle to the sandbox, on a worker's own thread.
            if worker.thread().id() != thread::current().id() {
                // A worker that panicked has ended too.
                let _ = worker.join();
            }
        }
    }
}
