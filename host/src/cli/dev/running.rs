//! What runs: the host, and for each handler what of the disk it runs, from when on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use waxwing_engine::{
    engine::Put,
    entry::Partition,
    port::{Observe, observe::PartitionChange},
};
use waxwing_event::{HandlerName, HandlerSpec, handler::View};

use super::{
    super::backing::Backing,
    desk::Desk,
    feed::Feed,
    look::Found,
    told::{How, Step, Swapped, Told},
};
use crate::{
    assemble::{Host, Loaded},
    config::AppConfig,
    deploy::fitting::lacks,
    own_folder::OwnFolder,
};

/// How long a handler that begins anew may take with what is under way.
const GRACE: Duration = Duration::from_secs(5);

/// A running host, and what it runs.
pub(super) struct Running {
    /// None only while another takes its place.
    host: Option<Host>,
    feed: Arc<Feed>,
    config: AppConfig,
    runs: BTreeMap<HandlerName, Runs>,
    /// Partitions that are read here, and since when by the program that runs.
    read: BTreeMap<HandlerName, BTreeMap<Partition, Instant>>,
    /// Handlers that another host has.
    elsewhere: BTreeSet<HandlerName>,
    awaited: Vec<Awaited>,
}

/// What a handler runs.
#[derive(PartialEq)]
struct Runs {
    spec: HandlerSpec,
    bytes: Arc<[u8]>,
}

/// A handler that is to be live in a moment.
struct Awaited {
    told: Swapped,
    /// When its build had ended.
    built: Instant,
    /// When the engine had it.
    put: Instant,
}

impl Running {
    /// A host that runs nothing yet.
    pub(super) async fn begin(config: AppConfig, backing: &Backing, feed: Arc<Feed>) -> Result<Running> {
        let host = Some(begin(&config, backing, feed.clone()).await?);
        let (runs, read, elsewhere) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Running { host, feed, config, runs, read, elsewhere, awaited: Vec::new() })
    }

    /// The handlers that run, and those of the manifest that do not.
    pub(super) fn handlers(&self) -> (Vec<HandlerName>, Vec<HandlerName>) {
        let names = self.config.handlers.iter().map(|handler| handler.spec.name.clone());
        names.partition(|name| self.runs.contains_key(name))
    }

    /// True where nothing is to be live in a moment.
    pub(super) fn is_settled(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Takes up what was found on the disk; gives what is to be told of it.
    pub(super) async fn take_up(
        &mut self,
        found: &Found,
        backing: &mut Backing,
        desk: &mut Desk,
    ) -> Result<Vec<Told>> {
        let mut told = Vec::new();
        let mut before = BTreeMap::new();
        let config = &found.manifest.config;
        if differs_below_handlers(&self.config, config) {
            if let Err(error) = backing.open_again(config).await {
                told.push(failed(Step::Manifest, None, found, format!("{error:#}")));
                return Ok(told);
            }
            before = self.begin_anew(config, backing).await?;
            told.push(Told::Restarted);
        }
        self.config = config.clone();
        desk.turn_to(backing.log(), config.clone());
        for (handler, module) in &found.handlers {
            let name = &handler.spec.name;
            let runs = match (module, before.remove(name)) {
                (Some(module), _) => Runs { spec: handler.spec.clone(), bytes: module.bytes.clone() },
                // What does not build goes on as it was.
                (None, Some(before)) => before,
                (None, None) => continue,
            };
            if let Err(error) = self.take_up_handler(runs, found, desk).await {
                told.push(failed(Step::Load, Some(name.clone()), found, format!("{error:#}")));
            }
        }
        let names: Vec<_> = config.handlers.iter().map(|handler| &handler.spec.name).collect();
        let gone: Vec<_> = self.runs.keys().filter(|name| !names.contains(name)).cloned().collect();
        for handler in gone {
            if let Some(host) = &self.host {
                host.remove(&handler, GRACE).await;
            }
            self.runs.remove(&handler);
            self.awaited.retain(|awaited| awaited.told.handler != handler);
            told.push(Told::Removed { handler });
        }
        Ok(told)
    }

    /// The handlers of which something else runs, as far as it is not live yet.
    pub(super) fn changed(&self, found: &Found) -> Vec<HandlerName> {
        let of_it = self.awaited.iter().filter(|awaited| awaited.built == found.ended);
        of_it.map(|awaited| awaited.told.handler.clone()).collect()
    }

    async fn take_up_handler(&mut self, runs: Runs, found: &Found, desk: &Desk) -> Result<()> {
        let (name, before) = (runs.spec.name.clone(), self.runs.get(&runs.spec.name));
        if before == Some(&runs) {
            return Ok(());
        }
        let is_same_module = before.is_some_and(|before| before.bytes == runs.bytes);
        if let Some(label) = lacks(&runs.spec, &self.config.host.labels) {
            bail!("it requires the label `{label}`, which this host lacks: add it to `labels` in [host]");
        }
        let decided = desk.decided(&name).await?;
        let host = self.host.as_ref().context("the host has ended")?;
        let began = Instant::now();
        let fitted = host.load(runs.spec.clone(), runs.bytes.clone()).await?.decided(decided);
        let (load, module) = (began.elapsed(), fitted.program.digest());
        let put = Instant::now();
        let how = match host.put(fitted, GRACE).await.context("the host is stopping")? {
            Put::Begun => How::Begun,
            Put::Swapped => How::Swapped,
            Put::BegunAnew => How::BegunAnew,
        };
        self.runs.insert(name.clone(), runs);
        if how == How::Swapped && is_same_module {
            // Of the same module nobody tells that it is another; what begins now runs by the new settings.
            let now = Instant::now();
            self.read.entry(name.clone()).or_default().values_mut().for_each(|since| *since = now);
        }
        if self.elsewhere.contains(&name) {
            return Ok(());
        }
        let (files, build, swap) = (found.files.clone(), found.time, Duration::ZERO);
        let told = Swapped { handler: name, how, files, module, build, load, swap };
        self.awaited.push(Awaited { told, built: found.ended, put });
        Ok(())
    }

    /// Another host in its place, which runs nothing yet: everything stands in the log. Gives what ran.
    async fn begin_anew(
        &mut self,
        config: &AppConfig,
        backing: &Backing,
    ) -> Result<BTreeMap<HandlerName, Runs>> {
        if let Some(host) = self.host.take() {
            host.drain(GRACE).await;
        }
        self.host = Some(begin(config, backing, self.feed.clone()).await?);
        self.read.clear();
        self.elsewhere.clear();
        self.awaited.clear();
        Ok(std::mem::take(&mut self.runs))
    }

    /// Hears of a partition.
    pub(super) fn hear(
        &mut self,
        handler: &HandlerName,
        (at, partition): (Instant, Partition),
        change: &PartitionChange,
    ) {
        let read = self.read.entry(handler.clone()).or_default();
        match change {
            PartitionChange::Started { .. } | PartitionChange::Swapped { .. } => {
                self.elsewhere.remove(handler);
                read.insert(partition, at);
            }
            PartitionChange::Interrupted(_) | PartitionChange::Released => drop(read.remove(&partition)),
            // It is not to be live here in a moment.
            PartitionChange::Waiting { .. } | PartitionChange::Stopped(_) => {
                read.remove(&partition);
                if read.is_empty() && matches!(change, PartitionChange::Waiting { .. }) {
                    self.elsewhere.insert(handler.clone());
                }
                self.awaited.retain(|awaited| awaited.told.handler != *handler);
            }
            PartitionChange::Judged(_)
            | PartitionChange::Outage { .. }
            | PartitionChange::OutageOver
            | PartitionChange::Paused
            | PartitionChange::Resumed => {}
        }
    }

    /// The handlers that are live by now, and were not before.
    pub(super) fn live(&mut self) -> Vec<Told> {
        let read = &self.read;
        let mut told = Vec::new();
        self.awaited.retain_mut(|awaited| {
            let partitions = read.get(&awaited.told.handler).filter(|partitions| !partitions.is_empty());
            let since = partitions.and_then(|partitions| {
                let all = partitions.values().all(|since| *since >= awaited.put);
                partitions.values().max().filter(|_| all)
            });
            let Some(since) = since else { return true };
            awaited.told.swap = since.duration_since(awaited.built);
            told.push(Told::Swapped(awaited.told.clone()));
            false
        });
        told
    }

    /// Ends in good order.
    pub(super) async fn drain(self, grace: Duration) {
        if let Some(host) = self.host {
            host.drain(grace).await;
        }
    }
}

async fn begin(config: &AppConfig, backing: &Backing, feed: Arc<Feed>) -> Result<Host> {
    let own = OwnFolder::open(&config.folder)?;
    let loaded = Loaded::nothing(config.clone(), &own)?;
    // Which streams there are is looked at when a handler begins.
    let without = AppConfig { handlers: Vec::new(), ..config.clone() };
    let outside = backing.outside(&without).await?;
    let observe: Arc<dyn Observe> = feed;
    Host::begin(loaded, backing.log(), outside, backing.target(), observe).await
}

/// True where the log or the host is to be another, not handlers alone.
fn differs_below_handlers(before: &AppConfig, after: &AppConfig) -> bool {
    let without = |config: &AppConfig| AppConfig { handlers: Vec::new(), ..config.clone() };
    let published = |config: &AppConfig| {
        let specs = config.handlers.iter().map(|handler| &handler.spec);
        specs.filter(|spec| spec.publish == Some(View::Kv)).map(|spec| spec.name.clone()).collect::<Vec<_>>()
    };
    let memory = |config: &AppConfig| {
        config.handlers.iter().map(|handler| handler.spec.limits.memory_bytes).max().unwrap_or_default()
    };
    without(before) != without(after)
        || published(before) != published(after)
        || memory(after) > memory(before)
}

fn failed(step: Step, handler: Option<HandlerName>, found: &Found, text: String) -> Told {
    Told::Failed { step, handler, files: found.files.clone(), text }
}
