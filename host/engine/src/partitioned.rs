//! The partitions of a handler on this host: as many as the log says, each with its lease, its place and its window.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_event::HandlerSpec;

use crate::{
    entry::{Partition, Partitions, generation::Withheld, partitions::Share},
    gauges::{Gauges, HandlerGauges},
    generations::{
        self, Role,
        division::{self, DivisionError},
        standstill::Asks,
    },
    hosting::Shared,
    partition::{Context, Doorway},
    plan::Planner,
    port::{log::Entry, observe::PartitionChange},
    program::Program,
    readings::Readings,
    roster::Turn,
};

/// How long it rests before it looks again into how many partitions the handler is divided.
const REST: Duration = Duration::from_secs(1);

/// How long it rests after the handler could not be divided, at first and at most: meanwhile it runs as it was.
const DIVIDES_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How much longer than a run's deadline owners may take to give way.
const PATIENCE: Duration = Duration::from_secs(10);

/// The partitions of a handler on this host.
pub(crate) struct Partitioned {
    pub(crate) shared: Arc<Shared>,
    pub(crate) spec: Arc<HandlerSpec>,
    pub(crate) role: Role,
    pub(crate) programs: watch::Receiver<Program>,
    pub(crate) entrance: Option<Doorway>,
    pub(crate) gauges: HandlerGauges,
    /// Tells into how many partitions the handler is divided.
    pub(crate) divided: watch::Sender<Partitions>,
}

impl Partitioned {
    /// Runs them until `stop`, and then finishes what is under way, unless `abandon` comes first. Where the manifest
    /// wishes for another number of partitions than there are when it begins, the handler is divided anew; from then on
    /// it follows what others do.
    pub(crate) async fn run(self, stop: CancellationToken, abandon: CancellationToken) {
        if !matches!(self.role, Role::Live) {
            return self.run_as(Partitions::ONE, std::future::pending(), &stop, &abandon).await;
        }
        let wished = Partitions(self.spec.partitions);
        let dividing = AbortOnDropHandle::new(tokio::spawn(divide(self.asks(), wished, stop.clone())));
        while !stop.is_cancelled() {
            let news = self.shared.operators.listen(&self.spec.name);
            let Some(partitions) = self.look(&stop).await else { break };
            self.divided.send_replace(partitions);
            self.run_as(partitions, self.is_divided_anew(partitions, news), &stop, &abandon).await;
        }
        tokio::select! {
            () = abandon.cancelled() => {}
            // What it had begun it has finished, or taken back.
            _ = dividing => {}
        }
    }

    /// Runs so many of them until `stop`, or until `changed`.
    async fn run_as(
        &self,
        partitions: Partitions,
        changed: impl Future<Output = ()>,
        stop: &CancellationToken,
        abandon: &CancellationToken,
    ) {
        let end = stop.child_token();
        let clock = self.shared.ports.clock.clone();
        let readings = (!partitions.is_one()).then(|| Arc::new(Readings::new(self.spec.clone(), clock)));
        let mut parts = JoinSet::new();
        for (partition, gauges) in partitions.all().zip(self.gauges.of(partitions)) {
            let context = self.context(Share { partition, partitions }, gauges, readings.clone());
            parts.spawn(context.run(end.clone(), abandon.clone()));
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = changed => {}
        }
        end.cancel();
        while parts.join_next().await.is_some() {}
    }

    /// Into how many partitions the handler is divided; none where it must stop before that is known.
    async fn look(&self, stop: &CancellationToken) -> Option<Partitions> {
        let Shared { ports, layout, .. } = self.shared.as_ref();
        let mut told = false;
        loop {
            let why = match generations::look(ports.log.as_ref(), layout, &self.spec.name).await {
                Ok((generations, _)) => return Some(generations.partitions),
                Err(error) => error.to_string(),
            };
            if !std::mem::replace(&mut told, true) {
                ports.observe.partition(&self.spec.name, Partition(0), &PartitionChange::Stopped(why));
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = ports.clock.sleep(REST) => {}
            }
        }
    }

    /// Returns when the handler is divided into another number of partitions.
    async fn is_divided_anew(&self, partitions: Partitions, mut news: mpsc::UnboundedReceiver<Entry>) {
        let Shared { ports, layout, .. } = self.shared.as_ref();
        let subject = layout.generations(&self.spec.name);
        while let Some(entry) = news.recv().await {
            if entry.subject != subject {
                continue;
            }
            match generations::look(ports.log.as_ref(), layout, &self.spec.name).await {
                Ok((generations, _)) if generations.partitions == partitions => {}
                // What cannot be read now is looked at anew before they begin again.
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn asks(&self) -> Asks {
        let Shared { options, ports, layout, .. } = self.shared.as_ref();
        Asks {
            ports: ports.clone(),
            layout: layout.clone(),
            events: options.events.clone(),
            spec: self.spec.clone(),
            // The host itself is asked to give way, too.
            host: format!("{}-divides", options.host),
            lease: options.lease(),
        }
    }

    fn context(&self, share: Share, gauges: Arc<Gauges>, readings: Option<Arc<Readings>>) -> Context {
        let Shared { options, ports, layout, living, roster, operators, committer, .. } =
            self.shared.as_ref();
        let spec = self.spec.clone();
        let turn = matches!(self.role, Role::Live).then(|| Turn {
            roster: roster.clone(),
            clock: ports.clock.clone(),
            handler: spec.name.clone(),
            partition: share.partition,
            host: options.host.clone(),
            lease: options.lease(),
            passed_over: BTreeMap::new(),
        });
        Context {
            entrance: self.entrance.clone(),
            turn,
            living: living.clone(),
            role: self.role.clone(),
            withheld: Withheld::default(),
            planner: Planner::new(layout.clone(), &spec),
            spec,
            share,
            readings,
            programs: self.programs.clone(),
            layout: layout.clone(),
            events: options.events.clone().into(),
            log: ports.log.clone(),
            outside: ports.outside.clone(),
            operators: operators.clone(),
            committer: committer.clone(),
            traces: options.traces,
            clock: ports.clock.clone(),
            observe: ports.observe.clone(),
            gauges,
            host: options.host.clone(),
            lease: options.lease(),
            checkpoint_every: options.checkpoint_every,
            cache_bytes: options.cache_bytes,
        }
    }
}

/// Divides the handler as the manifest wishes, unless it is divided so already.
async fn divide(asks: Asks, wished: Partitions, stop: CancellationToken) {
    let (log, handler) = (asks.ports.log.clone(), &asks.spec.name);
    let clock = asks.ports.clock.clone();
    let mut rest = DIVIDES_AGAIN.0;
    while !stop.is_cancelled() {
        let why = match generations::look(log.as_ref(), &asks.layout, handler).await {
            Ok((generations, _)) if generations.partitions == wished => return,
            Ok(_) => match divide_in_time(&asks, wished, &stop).await {
                Ok(is_ours) => {
                    if is_ours {
                        tracing::info!(%handler, partitions = wished.0, "divided");
                    }
                    return;
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if !stop.is_cancelled() {
            tracing::warn!(%handler, partitions = wished.0, why, "the handler is not divided yet");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = clock.sleep(rest) => rest = (rest * 2).min(DIVIDES_AGAIN.1),
        }
    }
}

async fn divide_in_time(
    asks: &Asks,
    wished: Partitions,
    stop: &CancellationToken,
) -> Result<bool, DivisionError> {
    let patience = stop.child_token();
    let mut dividing = std::pin::pin!(division::divide(asks, wished, &patience));
    let clock = asks.ports.clock.as_ref();
    tokio::select! {
        biased;
        divided = &mut dividing => return divided,
        () = clock.sleep(asks.spec.limits.deadline * 2 + PATIENCE) => patience.cancel(),
    }
    // It leaves nothing half done.
    dividing.await
}
