//! `waxwing demo`: the shop, from the first price to a burst of ten thousand.
//!
//! [`ledger`] counts what handlers do, [`stage`] publishes and waits until all is
//! quiet, [`story`] is what happens, [`burst`] is a lot of it at once, [`screen`] and [`summary`] show it.

mod burst;
mod ledger;
mod screen;
mod stage;
mod story;
mod summary;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use waxwing_engine::port::{Observe, Outside};

use self::{ledger::Ledger, screen::Screen, stage::Stage};
use super::{
    General,
    backing::{Backing, Stays, Wish},
    found,
    interrupt::Interrupts,
    logging,
    output::say,
};
use crate::{
    assemble::{Host, Setup},
    config::{self, Manifest},
    own_folder::OwnFolder,
};

/// What the demo wants of its log.
const WISH: Wish = Wish { command: "demo", store: ".waxwing/demo", stays: Stays::Nothing, in_memory: false };

/// Runs the example shop: events, handlers, and what comes of them
///
/// Uses the NATS server that you name or that answers on 127.0.0.1:4222, else starts `nats-server` from the
/// PATH, else keeps the log in memory. Ends by itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo run --release -- demo\n  \
    waxwing demo --server nats://127.0.0.1:4222\n  \
    waxwing demo --memory --burst 100000")]
pub(super) struct Demo {
    /// Keep the log in memory, even where there is a server
    #[arg(long)]
    memory: bool,
    /// How many price changes the burst at the end has
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    burst: u32,
}

impl Demo {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        logging::begin(general, logging::Level::Quiet);
        let mut manifest = found::manifest(&match &general.manifest {
            Some(_) => config::find::manifest(general.manifest.as_deref())?,
            None => shop()?,
        })?;
        let modules = found::modules(&manifest, general)?;
        let own = Some(OwnFolder::open(&manifest.folder)?);
        let wish = Wish { in_memory: self.memory, ..WISH };
        let mut backing = Backing::choose(wish, general, &mut manifest).await?;
        if let Err(error) = say!("{}", backing.line()) {
            backing.clear().await?;
            return Err(error.into());
        }
        let ledger = Arc::new(Ledger::new(&manifest.config));
        let observe: Arc<dyn Observe> = ledger.clone();
        let config = manifest.config.clone();
        let mut interrupts = Interrupts::listen()?;
        let host = Host::start(Setup {
            config,
            modules,
            log: backing.log(),
            outside: Outside::default(),
            observe,
            requests: backing.target(),
            own,
        })
        .await;
        let shown = match host {
            Ok(host) => {
                let shown = tokio::select! {
                    shown = self.show(&manifest, &backing, &ledger) => shown,
                    signal = interrupts.next() => Err(anyhow::anyhow!("stopped by {}", signal?)),
                };
                host.drain(Duration::from_secs(5)).await;
                shown
            }
            Err(error) => Err(error),
        };
        // What was set up for the demo goes, whatever came of it.
        backing.clear().await?;
        shown?;
        summary::what_next(&manifest.path, &backing)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, manifest: &Manifest, backing: &Backing, ledger: &Arc<Ledger>) -> Result<()> {
        let stage = Stage::new(backing.log(), ledger.clone(), &manifest.config);
        ledger.ready().await;
        let screen = Screen::new();
        story::tell(&stage, &screen).await?;
        if self.burst > 0 {
            burst::play(&stage, self.burst).await?;
        }
        summary::show(&stage, ledger).await
    }
}

/// The manifest of the shop: in `handlers/` of the repository, from anywhere within it.
fn shop() -> Result<std::path::PathBuf> {
    let shop = config::find::upwards(&Path::new("handlers").join(config::find::FILE_NAME))?;
    shop.context(
        "the shop's manifest handlers/waxwing.toml is not here: run the demo in Waxwing's repository",
    )
}
