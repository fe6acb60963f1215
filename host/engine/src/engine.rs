//! The engine: the handlers of one app on this host.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::{AppName, HandlerName, HandlerSpec, Label, Pattern};

use crate::{
    committer::Committer,
    entry::Layout,
    front::Fronts,
    gauges::HandlerGauges,
    generations::Role,
    hosting::{Hosted, Hosting, Shared},
    lease::MIN_LEASE,
    operators::Operators,
    port::{Clock, Log, Observe, Outside, Requests, log::CommitError},
    presence::{Living, News, Presence},
    roster::Roster,
    trace::Sampling,
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
    /// What is special about this host.
    pub labels: BTreeSet<Label>,
    /// True where it takes up only what no other host can run.
    pub standby: bool,
    /// How often each partition saves where it stands.
    pub checkpoint_every: Duration,
    /// Bytes of state that each handler keeps in memory.
    pub cache_bytes: NonZeroUsize,
    /// Which traces that begin here are kept; none: runs are no part of traces, and pass on what came.
    pub traces: Option<Sampling>,
}

impl Options {
    /// The defaults: a lease of 5 s, a checkpoint every second, 64 MiB of state a handler, no traces.
    pub fn new(app: AppName, host: impl Into<String>) -> Options {
        Options {
            app,
            events: Vec::new(),
            host: host.into(),
            lease: Duration::from_secs(5),
            labels: BTreeSet::new(),
            standby: false,
            checkpoint_every: Duration::from_secs(1),
            cache_bytes: NonZeroUsize::new(64 << 20).unwrap_or(NonZeroUsize::MIN),
            traces: None,
        }
    }

    /// How long a silent host counts as living.
    pub(crate) fn lease(&self) -> Duration {
        self.lease.max(MIN_LEASE)
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

/// Runs the handlers of an app until it is drained or dropped. Dropped, it stops in the midst of things, as a
/// crash would; the next owner of each partition goes on from the log.
pub struct Engine {
    shared: Arc<Shared>,
    handlers: BTreeMap<HandlerName, Hosting>,
    stop: CancellationToken,
    abandon: CancellationToken,
    /// What other hosts hear of this one.
    news: watch::Sender<News>,
    presence: AbortOnDropHandle<()>,
    _follow: [AbortOnDropHandle<()>; 2],
}

/// What became of a handler that was handed to a running engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// There was none of this name: it begins.
    Begun,
    /// It goes on with another program, without a pause.
    Swapped,
    /// Its partitions were given up in good order and begin anew, as more than the program is another.
    BegunAnew,
}

impl Engine {
    /// Starts. Each partition waits for its lease by itself; an error means that the log takes nothing.
    pub async fn start(options: Options, ports: Ports, handlers: Vec<Hosted>) -> Result<Engine, CommitError> {
        let layout = Layout::new(options.app.clone());
        let living = Living::default();
        let runs = |hosted: &&Hosted| matches!(hosted.role, Role::Live);
        let news = watch::Sender::new(News {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            handlers: handlers.iter().filter(runs).map(|hosted| hosted.spec.name.clone()).collect(),
            labels: options.labels.clone(),
            standby: options.standby,
            leaving: false,
        });
        let presence = Presence {
            log: ports.log.clone(),
            clock: ports.clock.clone(),
            subject: layout.host(&options.host),
            news: news.subscribe(),
            lease: options.lease(),
            living: living.clone(),
        };
        let told = presence.tell().await?;
        let presence = AbortOnDropHandle::new(tokio::spawn(presence.run()));
        let operators = Operators::default();
        let follow =
            operators.clone().follow(ports.log.clone(), layout.clone(), ports.clock.clone(), told.last);
        let follow = AbortOnDropHandle::new(tokio::spawn(follow));
        let roster = Roster::default();
        let follow_roster =
            roster.clone().follow(ports.log.clone(), layout.clone(), ports.clock.clone(), options.lease());
        let follow_roster = AbortOnDropHandle::new(tokio::spawn(follow_roster));
        let fronts = ports.requests.clone().map(|requests| Fronts::new(requests, ports.clone()));
        let committer = Committer::new(ports.log.clone(), ports.observe.clone());
        let mut engine = Engine {
            shared: Arc::new(Shared { options, ports, layout, living, roster, operators, committer, fronts }),
            handlers: BTreeMap::new(),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
            news,
            presence,
            _follow: [follow, follow_roster],
        };
        for hosted in handlers {
            engine.begin(hosted).await;
        }
        Ok(engine)
    }

    async fn begin(&mut self, hosted: Hosted) {
        let name = hosted.spec.name.clone();
        let (stop, abandon) = (self.stop.child_token(), self.abandon.child_token());
        if matches!(hosted.role, Role::Live) {
            self.news.send_if_modified(|news| news.handlers.insert(name.clone()));
        }
        let hosting = Hosting::begin(&self.shared, hosted, stop, abandon).await;
        self.handlers.insert(name, hosting);
    }

    /// Runs this handler from now on: one of the same name goes on with the new program, and begins anew where more is
    /// another; what it has under way then may take `grace`.
    pub async fn put(&mut self, hosted: Hosted, grace: Duration) -> Put {
        let put = match self.handlers.get(&hosted.spec.name) {
            Some(hosting) if hosting.swap(&hosted) => return Put::Swapped,
            Some(_) => Put::BegunAnew,
            None => Put::Begun,
        };
        // Other hosts need not hear of it: it is here again in a moment.
        self.end(&hosted.spec.name, grace).await;
        self.begin(hosted).await;
        put
    }

    /// Runs this handler no more: as [`Engine::drain`] does, for one alone. False where there is none.
    pub async fn remove(&mut self, handler: &HandlerName, grace: Duration) -> bool {
        self.news.send_if_modified(|news| news.handlers.remove(handler));
        self.end(handler, grace).await
    }

    async fn end(&mut self, handler: &HandlerName, grace: Duration) -> bool {
        let Some(hosting) = self.handlers.remove(handler) else { return false };
        hosting.end(self.shared.ports.clock.as_ref(), grace).await;
        true
    }

    /// The handlers that this host hosts, and what each shows of itself.
    pub fn hosted(&self) -> Vec<(Arc<HandlerSpec>, HandlerGauges)> {
        self.handlers.values().map(|hosting| (hosting.spec().clone(), hosting.gauges().clone())).collect()
    }

    /// What each handler shows of itself on this host.
    pub fn gauges(&self) -> Vec<(HandlerName, HandlerGauges)> {
        self.handlers.iter().map(|(name, hosting)| (name.clone(), hosting.gauges().clone())).collect()
    }

    /// Takes no more requests, stops reading, finishes and answers what is under way, saves where it stands and
    /// gives the leases up; after `grace` it leaves what is not finished to the next host.
    pub async fn drain(mut self, grace: Duration) -> Drained {
        // Those who take over are ready when the leases are free.
        self.news.send_modify(|news| news.leaving = true);
        let clock = self.shared.ports.clock.clone();
        let end = tokio::select! {
            biased;
            () = self.finish() => Drained::Whole,
            () = clock.sleep(grace) => Drained::GraceOver,
        };
        self.stop.cancel();
        self.abandon.cancel();
        self.ended().await;
        if let Some(fronts) = &self.shared.fronts {
            tokio::select! {
                () = fronts.end() => {}
                () = clock.sleep(LAST_ANSWERS) => {}
            }
        }
        self.presence.abort();
        end
    }

    async fn finish(&mut self) {
        if let Some(fronts) = &self.shared.fronts {
            fronts.close().await;
        }
        self.stop.cancel();
        self.ended().await;
    }

    async fn ended(&mut self) {
        for hosting in self.handlers.values_mut() {
            hosting.ended().await;
        }
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
