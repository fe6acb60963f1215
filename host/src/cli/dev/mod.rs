//! `waxwing dev`: the loop of whoever writes handlers: edit, see it live, see what it does.
//!
//! [`watcher`] hears of changes of what [`watched`] names, [`look`] reads and builds what is on the disk, [`running`] takes
//! it up, [`feed`] tells what handlers do, [`screen`] shows it, [`keys`] hears what a person asks for, [`desk`] does it.

mod desk;
mod feed;
mod keys;
mod look;
mod running;
mod screen;
mod session;
mod shown;
#[cfg(unix)]
mod terminal;
mod told;
mod watched;
mod watcher;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use self::session::Session;
use super::{
    General,
    backing::{Backing, Stays, Wish},
    found, logging,
};
use crate::config;

/// What it wants of its log.
const WISH: Wish = Wish { command: "dev", store: ".waxwing/dev", stays: Stays::Everything, in_memory: false };

/// Runs the handlers while you write them: what you save is live in a moment
///
/// Watches the manifest, the sources of its handlers' crates and modules that are files; builds what has changed and goes on
/// with it, where the handler is, with the state that it has. What does not build, load or fit leaves what runs as it is.
/// Shows a line for each event. The log is on the NATS server that you name or that answers on 127.0.0.1:4222, else on a
/// `nats-server` from the PATH that it starts (kept in .waxwing/dev), else in memory.
///
/// On a terminal: p pause, r publish the last event again, e publish an event, d details, c clear, q quit. Elsewhere each line
/// of standard input, SUBJECT DATA, is published as an event.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing dev\n  \
    waxwing dev -C handlers --server nats://127.0.0.1:4222 --verbose\n  \
    waxwing dev --memory\n  \
    echo 'prices.updated {\"productId\":\"tea\",\"newPrice\":3.2}' | waxwing dev --output json")]
pub(super) struct Dev {
    /// Keep the log in memory, even where there is a server
    #[arg(long)]
    memory: bool,
}

impl Dev {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        logging::begin(general, logging::Level::Handlers);
        let mut manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        let wish = Wish { in_memory: self.memory, ..WISH };
        let mut backing = Backing::choose(wish, general, &mut manifest).await?;
        let ended = match Session::begin(manifest, &mut backing, general).await {
            Ok(session) => session.run(&mut backing).await,
            Err(error) => Err(error),
        };
        // A server of its own ends with it, whatever came of it.
        backing.clear().await?;
        ended?;
        Ok(ExitCode::SUCCESS)
    }
}
