//! `waxwing run`: the host.

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Result, bail};
use clap::Args;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use waxwing_engine::{
    engine::Drained,
    entry::Layout,
    port::{Log, Observe, observe::Observers},
    trace::Sampling,
};

use waxwing_event::{AppName, HandlerName};

use super::{General, found, interrupt::Interrupts, logging, output::say, watch::Watch};
use crate::{
    assemble::{self, Host, Loaded, Showing},
    config::{self, AppConfig},
    control::{Health, Metrics, Notifier, Otlp, Probes},
    nats::Target,
    own_folder::OwnFolder,
    story::index::build::Builder,
};

/// Runs the app's handlers until ctrl-c or SIGTERM
///
/// Builds the handler crates that the manifest names where their sources changed, opens the app's log on
/// NATS, and writes `ready` to standard output when every handler reads its events. Of a handler that is deployed
/// (`waxwing deploy`) the deployed version runs, whatever the manifest says, and another as soon as it is deployed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing run\n  \
    waxwing run -C handlers --server nats://127.0.0.1:4222\n  \
    waxwing run --probes 127.0.0.1:8080 --otlp http://127.0.0.1:4318 --trace-ratio 0.1\n  \
    waxwing run --app shop --context prod --log-format json")]
pub(super) struct Run {
    /// Run what is deployed for this app; no manifest is needed
    #[arg(long, value_name = "NAME", conflicts_with = "manifest")]
    app: Option<AppName>,
    /// Answer over HTTP here, such as 127.0.0.1:8080: /livez, /readyz and /metrics [env: WAXWING_PROBES]
    #[arg(long, env = "WAXWING_PROBES", hide_env = true, value_name = "ADDRESS")]
    probes: Option<SocketAddr>,
    /// Send metrics and traces to this receiver of OTLP over HTTP [env: OTEL_EXPORTER_OTLP_ENDPOINT]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env = true, value_name = "URL")]
    otlp: Option<String>,
    /// Which part of the traces that begin here is sent, from 0 to 1; of what fails, all is [env: OTEL_TRACES_SAMPLER_ARG]
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER_ARG",
        hide_env = true,
        value_name = "PART",
        default_value = "1",
        value_parser = part
    )]
    trace_ratio: f64,
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "write a number from 0 to 1, such as 0.1 for a tenth".to_owned())
}

impl Run {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        logging::begin(general, logging::Level::Usual);
        let target = found::target(general)?;
        let health = Arc::new(Health::new());
        let probes = self.answer_probes(&health).await?;
        let notifier = Notifier::start();
        let Ground { config, loaded, log } = match &self.app {
            Some(app) => Ground::deployed(app, &target).await?,
            None => Ground::of_manifest(general, &target).await?,
        };
        let loaded = loaded.follow(&log, assemble::modules(&config.app, &target)).await?;
        let handlers = loaded.handlers();
        let names: Vec<&str> = handlers.iter().map(HandlerName::as_str).collect();
        info!(app = %config.app, handlers = names.join(" "), server = target.shown(), "starting");
        if handlers.is_empty() {
            warn!("nothing is deployed: `waxwing deploy` brings handlers to this host");
        }
        let outside = assemble::all_outside(&config, &target).await?;
        health.expects(handlers);
        health.opened(log.clone());
        let observed = Observed::new(self, &config.app, &loaded, probes)?;
        let loaded = match &observed.otlp {
            Some(_) => loaded.traced(Sampling::ratio(self.trace_ratio)),
            None => loaded,
        };
        let id = loaded.host().to_owned();
        let observe = observed.by(Watch::new(health.clone()));
        let mut interrupts = Interrupts::listen()?;
        let host = Host::begin(loaded, log.clone(), outside, Some(target.clone()), observe).await?;
        let _indexing = config.host.index.then(|| {
            let layout = Layout::new(config.app.clone());
            AbortOnDropHandle::new(tokio::spawn(Builder::new(log.clone(), layout, &id).run()))
        });
        observed.of(host.showing(), log, &target, &config.app);
        let signal = tokio::select! {
            signal = interrupts.next() => signal?,
            () = health.served() => {
                notifier.ready();
                // A host serves whether or not anybody hears of it.
                if let Err(error) = say!("ready") {
                    warn!(error = %anyhow::Error::new(error), "nobody hears that all is ready");
                }
                interrupts.next().await?
            }
        };
        health.drains();
        notifier.stopping();
        let grace = config.host.grace;
        info!(signal, grace_s = grace.as_secs(), "stopping");
        let drained = tokio::select! {
            drained = host.drain(grace) => drained,
            signal = interrupts.next() => bail!("a second {} came: stopped in the midst of things", signal?),
        };
        observed.end().await;
        match drained {
            Drained::Whole => info!("stopped: everything under way is durable"),
            Drained::GraceOver => {
                warn!("stopped: the grace was over first, the next host goes on from the log")
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Begins to answer probes, where it is wished.
    async fn answer_probes(&self, health: &Arc<Health>) -> Result<Option<Probes>> {
        let Some(address) = self.probes else { return Ok(None) };
        let probes = Probes::start(address, health.clone()).await?;
        info!(address = %probes.address(), "answering probes");
        Ok(Some(probes))
    }
}

/// Who hears of what the host does.
struct Observed {
    probes: Option<Probes>,
    otlp: Option<Arc<Otlp>>,
    metrics: Option<Arc<Metrics>>,
}

impl Observed {
    fn new(run: &Run, app: &AppName, loaded: &Loaded, probes: Option<Probes>) -> Result<Observed> {
        let address = run.otlp.as_deref().filter(|address| !address.is_empty());
        let otlp = address.map(|address| Otlp::new(address, app, loaded.host())).transpose()?.map(Arc::new);
        let metrics = match probes.is_some() || otlp.is_some() {
            true => Some(Arc::new(Metrics::new(app, otlp.as_deref())?)),
            false => None,
        };
        Ok(Observed { probes, otlp, metrics })
    }

    /// All of them, and `watch`.
    fn by(&self, watch: Watch) -> Arc<dyn Observe> {
        let mut all: Vec<Arc<dyn Observe>> = vec![Arc::new(watch)];
        all.extend(self.metrics.clone().map(|metrics| metrics as _));
        all.extend(self.otlp.as_ref().map(|otlp| otlp.observer()));
        Arc::new(Observers(all))
    }

    /// The host has begun.
    fn of(&self, showing: Showing, log: Arc<dyn Log>, target: &Target, app: &AppName) {
        if let Some(otlp) = &self.otlp {
            otlp.of(showing.clone());
        }
        if let Some(metrics) = &self.metrics {
            metrics.of(showing, log, target.clone(), Layout::new(app.clone()));
            self.probes.iter().for_each(|probes| probes.tell(metrics.clone()));
        }
    }

    /// Sends what was not sent.
    async fn end(self) {
        let Observed { otlp: Some(otlp), metrics, .. } = self else { return };
        let ending = tokio::task::spawn_blocking(move || {
            otlp.end();
            metrics.iter().for_each(|metrics| metrics.end());
        });
        if let Err(error) = ending.await {
            warn!(%error, "the last metrics and traces were not sent");
        }
    }
}

/// What a host stands on.
struct Ground {
    config: AppConfig,
    loaded: Loaded,
    log: Arc<dyn Log>,
}

impl Ground {
    /// What the manifest says.
    async fn of_manifest(general: &General, target: &Target) -> Result<Ground> {
        let manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        let modules = found::modules(&manifest, general)?;
        let (config, own) = (manifest.config, OwnFolder::open(&manifest.folder)?);
        // The log is made last: a module that cannot run leaves nothing behind.
        let loaded = Loaded::new(config.clone(), modules, Some(&own)).await?;
        let log = assemble::open_log(&config, target).await?;
        Ok(Ground { config, loaded, log })
    }

    /// The log alone: it says what runs.
    async fn deployed(app: &AppName, target: &Target) -> Result<Ground> {
        let (log, events) = assemble::existing_log_and_events(app, target).await?;
        let config = found::checked(config::bare(app.clone(), events, std::env::vars()))?;
        let own = OwnFolder::open(Path::new("."))?;
        let loaded = Loaded::new(config.clone(), Vec::new(), Some(&own)).await?;
        Ok(Ground { config, loaded, log })
    }
}
