//! `waxwing run`: the host.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Result, bail};
use clap::Args;
use tracing::{info, warn};
use waxwing_engine::{engine::Drained, port::Observe};

use super::{General, found, interrupt, logging, output::say, watch::Watch};
use crate::{
    assemble::{self, Host, Loaded},
    config,
    control::{Health, Notifier, Probes},
    own_folder::OwnFolder,
};

/// Runs the app's handlers until ctrl-c or SIGTERM
///
/// Builds the handler crates that the manifest names where their sources changed, opens the app's log on
/// NATS, and writes `ready` to standard output when every handler reads its events.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing run\n  \
    waxwing run -C handlers --server nats://127.0.0.1:4222\n  \
    waxwing run --context prod --log-format json")]
pub(super) struct Run {
    /// Answer probes over HTTP here, such as 127.0.0.1:8080: /livez and /readyz [env: WAXWING_PROBES]
    #[arg(long, env = "WAXWING_PROBES", hide_env = true, value_name = "ADDRESS")]
    probes: Option<SocketAddr>,
}

impl Run {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        logging::begin(general, logging::Level::Usual);
        let manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        let modules = found::modules(&manifest)?;
        let target = found::target(general)?;
        let config = manifest.config;
        let names: Vec<&str> = config.handlers.iter().map(|handler| handler.spec.name.as_str()).collect();
        info!(app = %config.app, handlers = names.join(" "), server = target.shown(), "starting");
        let handlers = config.handlers.iter().map(|handler| handler.spec.name.clone());
        let health = Arc::new(Health::new(handlers));
        let _probes = self.answer_probes(&health).await?;
        let notifier = Notifier::start();
        let own = OwnFolder::open(&manifest.folder)?;
        // The log is made last: a module that cannot run leaves nothing behind.
        let loaded = Loaded::new(config.clone(), modules, Some(&own)).await?;
        let log = assemble::open_log(&config, &target).await?;
        let outside = assemble::outside(&config, &target).await?;
        health.opened(log.clone());
        let observe: Arc<dyn Observe> = Arc::new(Watch::new(health.clone()));
        let host = Host::begin(loaded, log, outside, Some(target.clone()), observe).await?;
        let signal = tokio::select! {
            signal = interrupt::wait() => signal?,
            () = health.served() => {
                notifier.ready();
                // A host serves whether or not anybody hears of it.
                if let Err(error) = say!("ready") {
                    warn!(error = %anyhow::Error::new(error), "nobody hears that all is ready");
                }
                interrupt::wait().await?
            }
        };
        health.drains();
        notifier.stopping();
        let grace = config.host.grace;
        info!(signal, grace_s = grace.as_secs(), "stopping");
        let drained = tokio::select! {
            drained = host.drain(grace) => drained,
            signal = interrupt::wait() => bail!("a second {} came: stopped in the midst of things", signal?),
        };
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
