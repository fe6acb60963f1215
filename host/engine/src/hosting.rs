//! A handler on this host: its partitions, its outbox's relay, and what comes in for it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use waxwing_event::HandlerSpec;

use crate::{
    committer::Committer,
    engine::{Options, Ports},
    entry::{Layout, Partitions},
    front::Fronts,
    gauges::{Gauges, HandlerGauges},
    generations::{self, Role},
    operators::Operators,
    partitioned::Partitioned,
    port::{Clock, Invoke},
    presence::Living,
    program::Program,
    relay::Relay,
    roster::Roster,
};

/// A handler and what runs for it.
pub struct Hosted {
    /// What the manifest says.
    pub spec: HandlerSpec,
    /// What runs.
    pub program: Program,
    /// Which generation of the handler runs.
    pub role: Role,
}

impl Hosted {
    /// The generation of the handler that is live, by a module that was not deployed.
    pub fn new(spec: HandlerSpec, module: Arc<dyn Invoke>) -> Hosted {
        Hosted { spec, program: Program::new(module), role: Role::Live }
    }
}

/// What the handlers of an engine have in common.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) ports: Ports,
    pub(crate) layout: Layout,
    pub(crate) living: Living,
    pub(crate) roster: Roster,
    pub(crate) operators: Operators,
    pub(crate) committer: Committer,
    pub(crate) fronts: Option<Fronts>,
}

/// A handler that runs. Dropped, it stops in the midst of things.
pub(crate) struct Hosting {
    spec: Arc<HandlerSpec>,
    programs: watch::Sender<Program>,
    gauges: HandlerGauges,
    is_live: bool,
    tasks: JoinSet<()>,
    /// Takes what comes in, until it is closed.
    front: Option<JoinHandle<()>>,
    close: CancellationToken,
    stop: CancellationToken,
    abandon: CancellationToken,
}

impl Hosting {
    /// Begins; the tokens end what it begins.
    pub(crate) async fn begin(
        shared: &Arc<Shared>,
        hosted: Hosted,
        stop: CancellationToken,
        abandon: CancellationToken,
    ) -> Hosting {
        let Hosted { spec, program, role } = hosted;
        let (spec, gauges) = (Arc::new(spec), HandlerGauges::default());
        let is_live = matches!(role, Role::Live);
        let mut tasks = JoinSet::new();
        if is_live && spec.grants.leave_the_log() {
            let relay = relay(shared, spec.clone(), gauges.first().clone());
            tasks.spawn(relay.run(stop.clone(), abandon.clone()));
        }
        // Where it cannot be read, what comes is passed on to the first partition, which says that it is not its own.
        let found = generations::look(shared.ports.log.as_ref(), &shared.layout, &spec.name).await;
        let partitions = found.map_or(Partitions::ONE, |(generations, _)| generations.partitions);
        let divided = watch::Sender::new(partitions);
        let close = shared.fronts.as_ref().map(Fronts::closing).unwrap_or_default();
        let opened = match &shared.fronts {
            Some(fronts) if is_live => {
                fronts.open(&spec, &divided.subscribe(), gauges.first(), &close, &abandon).await
            }
            _ => None,
        };
        let (entrance, front) = opened.unzip();
        let (programs, receiver) = watch::channel(program);
        let partitioned = Partitioned {
            shared: shared.clone(),
            spec: spec.clone(),
            role,
            programs: receiver,
            entrance,
            gauges: gauges.clone(),
            divided,
        };
        tasks.spawn(partitioned.run(stop.clone(), abandon.clone()));
        Hosting { spec, programs, gauges, is_live, tasks, front, close, stop, abandon }
    }

    /// Goes on with another program; false where more than that is another.
    pub(crate) fn swap(&self, hosted: &Hosted) -> bool {
        let is_swap = self.is_live
            && matches!(hosted.role, Role::Live)
            && self.spec.differs_in_its_runs_alone(&hosted.spec);
        if is_swap {
            self.programs.send_replace(hosted.program.clone());
        }
        is_swap
    }

    /// What the manifest says of it.
    pub(crate) fn spec(&self) -> &Arc<HandlerSpec> {
        &self.spec
    }

    /// What it shows of itself.
    pub(crate) fn gauges(&self) -> &HandlerGauges {
        &self.gauges
    }

    /// Takes nothing more, finishes what is under way, and gives its partitions up; after `grace` it leaves what is not
    /// finished.
    pub(crate) async fn end(mut self, clock: &dyn Clock, grace: Duration) {
        tokio::select! {
            biased;
            () = self.finish() => {}
            () = clock.sleep(grace) => {}
        }
        self.stop.cancel();
        self.abandon.cancel();
        self.ended().await;
    }

    async fn finish(&mut self) {
        self.close.cancel();
        if let Some(front) = &mut self.front {
            // Its end is all that matters.
            let _ = front.await;
        }
        self.front = None;
        self.stop.cancel();
        self.ended().await;
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Hosting {
    fn drop(&mut self) {
        self.close.cancel();
    }
}

/// The relay of a handler's outbox.
fn relay(shared: &Shared, spec: Arc<HandlerSpec>, gauges: Arc<Gauges>) -> Relay {
    let Shared { options, ports, layout, committer, .. } = shared;
    Relay {
        spec,
        layout: layout.clone(),
        log: ports.log.clone(),
        committer: committer.clone(),
        publish: ports.outside.publish.clone(),
        clock: ports.clock.clone(),
        observe: ports.observe.clone(),
        gauges,
        host: options.host.clone(),
        lease: options.lease(),
        save_every: options.checkpoint_every,
    }
}
