//! The engine: the handlers of one app on this host.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::{AppName, HandlerName, HandlerSpec, Pattern};

use crate::{
    committer::Committer,
    entry::{Layout, Partition, generation::Withheld},
    front::Fronts,
    gauges::Gauges,
    generations::Role,
    lease::{Living, MIN_LEASE, Presence},
    operators::Operators,
    partition::Context,
    plan::Planner,
    port::{Clock, Invoke, Log, Observe, Outside, Requests, log::CommitError},
    relay::Relay,
};

/// How long the last answers may take to get away.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// The app.
    pub app: AppName,
    /// The app's own subjects: where its handlers can emit. Empty: anywhere.
    pub events: Vec<Pattern>,
    /// This host: a token of a subject, different for each process that may run at the same time.
    pub host: String,
    /// How long a silent host counts as living: at least [`MIN_LEASE`], whole seconds.
    pub lease: Duration,
    /// How often each partition saves where it stands.
    pub checkpoint_every: Duration,
    /// Bytes of state that each handler keeps in memory.
    pub cache_bytes: NonZeroUsize,
}

impl Options {
    /// The defaults: a lease of 5 s, a checkpoint every second, 64 MiB of state a handler.
    pub fn new(app: AppName, host: impl Into<String>) -> Options {
        Options {
            app,
            events: Vec::new(),
            host: host.into(),
            lease: Duration::from_secs(5),
            checkpoint_every: Duration::from_secs(1),
            cache_bytes: NonZeroUsize::new(64 << 20).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// What the engine uses of the world.
#[derive(Clone)]
pub struct Ports {
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who watches.
    pub observe: Arc<dyn Observe>,
    /// What lies outside the log.
    pub outside: Outside,
    /// Requests and live messages; none: there are no such.
    pub requests: Option<Arc<dyn Requests>>,
}

impl Ports {
    /// A world that ends with the app's log.
    pub fn new(log: Arc<dyn Log>, clock: Arc<dyn Clock>, observe: Arc<dyn Observe>) -> Ports {
        Ports { log, clock, observe, outside: Outside::default(), requests: None }
    }
}

/// A handler and its module.
pub struct Hosted {
    /// What the manifest says.
    pub spec: HandlerSpec,
    /// Loaded and ready.
    pub module: Arc<dyn Invoke>,
    /// Which generation of the handler runs.
    pub role: Role,
}

impl Hosted {
    /// The generation of the handler that is live.
    pub fn new(spec: HandlerSpec, module: Arc<dyn Invoke>) -> Hosted {
        Hosted { spec, module, role: Role::Live }
    }
}

/// Runs the handlers of an app until it is drained or dropped. Dropped, it stops in the midst of things, as a
/// crash would; the next owner of each partition goes on from the log.
pub struct Engine {
    stop: CancellationToken,
    abandon: CancellationToken,
    partitions: JoinSet<()>,
    presence: AbortOnDropHandle<()>,
    _follow: AbortOnDropHandle<()>,
    gauges: Vec<(HandlerName, Arc<Gauges>)>,
    fronts: Option<Fronts>,
    clock: Arc<dyn Clock>,
}

impl Engine {
    /// Starts. Each partition waits for its lease by itself; an error means that the log takes nothing.
    pub async fn start(options: Options, ports: Ports, handlers: Vec<Hosted>) -> Result<Engine, CommitError> {
        let layout = Layout::new(options.app.clone());
        let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
        let mut partitions = JoinSet::new();
        let living = Living::default();
        let presence = Presence {
            log: ports.log.clone(),
            clock: ports.clock.clone(),
            subject: layout.host(&options.host),
            lease: options.lease.max(MIN_LEASE),
            living: living.clone(),
        };
        let told = presence.tell().await?;
        let presence = AbortOnDropHandle::new(tokio::spawn(presence.run()));
        let committer = Committer::new(ports.log.clone());
        let operators = Operators::default();
        let follow =
            operators.clone().follow(ports.log.clone(), layout.clone(), ports.clock.clone(), told.last);
        let follow = AbortOnDropHandle::new(tokio::spawn(follow));
        let events: Arc<[Pattern]> = options.events.clone().into();
        let fronts = ports.requests.clone().map(|requests| Fronts::new(requests, ports.clone()));
        let mut gauges = Vec::with_capacity(handlers.len());
        for Hosted { spec, module, role } in handlers {
            let (spec, shown) = (Arc::new(spec), Arc::new(Gauges::default()));
            gauges.push((spec.name.clone(), shown.clone()));
            let is_live = matches!(role, Role::Live);
            if is_live && spec.grants.leave_the_log() {
                let relay = relay(&options, &ports, &committer, spec.clone(), shown.clone());
                partitions.spawn(relay.run(stop.clone(), abandon.clone()));
            }
            let entrance = match &fronts {
                Some(fronts) if is_live => fronts.open(&spec, &shown, &abandon).await,
                _ => None,
            };
            let context = Context {
                entrance,
                living: living.clone(),
                role,
                withheld: Withheld::default(),
                planner: Planner::new(layout.clone(), &spec),
                spec,
                partition: Partition(0),
                module,
                layout: layout.clone(),
                events: events.clone(),
                log: ports.log.clone(),
                outside: ports.outside.clone(),
                operators: operators.clone(),
                committer: committer.clone(),
                clock: ports.clock.clone(),
                observe: ports.observe.clone(),
                gauges: shown,
                host: options.host.clone(),
                lease: options.lease.max(MIN_LEASE),
                checkpoint_every: options.checkpoint_every,
                cache_bytes: options.cache_bytes,
            };
            partitions.spawn(context.run(stop.clone(), abandon.clone()));
        }
        Ok(Engine {
            stop,
            abandon,
            partitions,
            presence,
            _follow: follow,
            gauges,
            fronts,
            clock: ports.clock,
        })
    }

    /// What each handler's partition on this host shows of itself.
    pub fn gauges(&self) -> &[(HandlerName, Arc<Gauges>)] {
        &self.gauges
    }

    /// Takes no more requests, stops reading, finishes and answers what is under way, saves where it stands and
    /// gives the leases up; after `grace` it leaves what is not finished to the next host.
    pub async fn drain(mut self, grace: Duration) -> Drained {
        let clock = self.clock.clone();
        let end = tokio::select! {
            biased;
            () = self.finish() => Drained::Whole,
            () = clock.sleep(grace) => Drained::GraceOver,
        };
        self.stop.cancel();
        self.abandon.cancel();
        ended(&mut self.partitions).await;
        if let Some(fronts) = &self.fronts {
            tokio::select! {
                () = fronts.end() => {}
                () = self.clock.sleep(LAST_ANSWERS) => {}
            }
        }
        self.presence.abort();
        end
    }

    async fn finish(&mut self) {
        if let Some(fronts) = &self.fronts {
            fronts.close().await;
        }
        self.stop.cancel();
        ended(&mut self.partitions).await;
    }
}

async fn ended(partitions: &mut JoinSet<()>) {
    while partitions.join_next().await.is_some() {}
}

/// The relay of a handler's outbox.
fn relay(
    options: &Options,
    ports: &Ports,
    committer: &Committer,
    spec: Arc<HandlerSpec>,
    gauges: Arc<Gauges>,
) -> Relay {
    Relay {
        spec,
        layout: Layout::new(options.app.clone()),
        log: ports.log.clone(),
        committer: committer.clone(),
        publish: ports.outside.publish.clone(),
        clock: ports.clock.clone(),
        observe: ports.observe.clone(),
        gauges,
        host: options.host.clone(),
        lease: options.lease.max(MIN_LEASE),
        save_every: options.checkpoint_every,
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All that was under way is durable.
    Whole,
    /// The grace was over first.
    GraceOver,
}
