//! Real NATS servers with a configuration: alone, or three that form a cluster. Each can be killed and started
//! again on its port and store.

use std::{net::TcpListener, path::PathBuf, process::Stdio, time::Duration};

use rand::Rng;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};
use waxwing_log::jetstream::Server;

use crate::{
    app::{Backing, PATIENCE},
    server::binary,
};

/// Systems give out ports above these by themselves, so nobody takes one while its server is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How often conditions are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// When a server has on disk what it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// The system writes it at its leisure.
    Lazy,
    /// Before it acknowledges.
    Always,
}

impl Sync {
    fn setting(self) -> &'static str {
        match self {
            Sync::Lazy => "",
            Sync::Always => ", sync_interval: always",
        }
    }
}

/// A server that keeps its port and its store while it is down.
pub struct Node {
    pub port: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl Node {
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The name by which the servers of a cluster speak of it.
    pub fn name(&self) -> String {
        format!("n{}", self.port)
    }

    /// Kills it at once, as a crash would.
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Starts it and waits until it takes connections.
    pub async fn start(&mut self) {
        let mut command = Command::new(binary().await);
        command.arg("-c").arg(&self.config).stderr(Stdio::null()).kill_on_drop(true);
        let started = async {
            loop {
                let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
                if ended {
                    self.child = Some(command.spawn().unwrap());
                }
                if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, started).await.expect("the server starts");
    }
}

/// One server, or three in a cluster. They end with this.
pub struct Cluster {
    pub nodes: Vec<Node>,
    folder: TempDir,
}

impl Cluster {
    /// One server, of no cluster.
    pub async fn single(sync: Sync) -> Cluster {
        Cluster::start(1, sync).await
    }

    /// Three servers that have chosen a leader.
    pub async fn three(sync: Sync) -> Cluster {
        Cluster::start(3, sync).await
    }

    async fn start(count: usize, sync: Sync) -> Cluster {
        let mut cluster = Cluster { nodes: Vec::new(), folder: TempDir::new().unwrap() };
        let ports = free_ports(2 * count);
        let (clients, routes) = ports.split_at(count);
        let all_routes: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        for (port, route) in clients.iter().zip(routes) {
            let store = cluster.folder.path().join(port.to_string());
            let mut text = format!(
                "server_name: n{port}\nlisten: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?}{} }}\n",
                sync.setting(),
            );
            if count > 1 {
                let others = all_routes.join(", ");
                text +=
                    &format!("cluster {{ name: c, listen: \"127.0.0.1:{route}\", routes: [{others}] }}\n");
            }
            let config = cluster.folder.path().join(format!("{port}.conf"));
            std::fs::write(&config, text).unwrap();
            cluster.nodes.push(Node { port: *port, config, child: None });
        }
        cluster.start_all().await;
        cluster
    }

    /// Starts those that are down and waits until JetStream answers.
    pub async fn start_all(&mut self) {
        for node in &mut self.nodes {
            node.start().await;
        }
        self.wait_until(async || self.ask("INFO").await.is_some()).await;
    }

    /// Kills all at the same moment.
    pub async fn kill_all(&mut self) {
        let killed = self.nodes.iter_mut().map(Node::kill);
        futures::future::join_all(killed).await;
    }

    /// The servers that keep a stream: the leader's name, and the names of those that are up to date with it.
    async fn keepers(&self, stream: &str) -> Option<(String, Vec<String>)> {
        let info = self.ask(&format!("STREAM.INFO.{stream}")).await?;
        let leader = info["cluster"]["leader"].as_str()?.to_owned();
        let replicas = info["cluster"]["replicas"].as_array().cloned().unwrap_or_default();
        let current = replicas.iter().filter(|replica| {
            replica["current"].as_bool() == Some(true) && replica["offline"].as_bool() != Some(true)
        });
        let current = current.filter_map(|replica| replica["name"].as_str().map(str::to_owned)).collect();
        Some((leader, current))
    }

    /// Waits until a stream has a leader and all others are up to date; gives the leader's place.
    pub async fn settled(&self, stream: &str) -> usize {
        let mut place = None;
        self.wait_until(async || {
            let Some((leader, current)) = self.keepers(stream).await else { return false };
            place = self.nodes.iter().position(|node| node.name() == leader);
            place.is_some() && current.len() + 1 == self.nodes.len()
        })
        .await;
        place.unwrap()
    }

    /// Waits until a stream has a leader who is not the one at `place`.
    pub async fn led_by_another(&self, stream: &str, place: usize) {
        let former = self.nodes[place].name();
        self.wait_until(async || self.keepers(stream).await.is_some_and(|(leader, _)| leader != former))
            .await;
    }

    async fn wait_until(&self, mut holds: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the servers agree");
    }

    /// An answer of JetStream's API, from whichever server is there.
    async fn ask(&self, what: &str) -> Option<Value> {
        let client = async_nats::connect(self.address().urls).await.ok()?;
        let answer = client.request(format!("$JS.API.{what}"), "".into());
        let answer = tokio::time::timeout(Duration::from_secs(1), answer).await.ok()?.ok()?;
        let answer: Value = serde_json::from_slice(&answer.payload).ok()?;
        answer.get("error").is_none().then_some(answer)
    }
}

impl Backing for Cluster {
    fn address(&self) -> Server {
        Server { urls: self.nodes.iter().map(Node::url).collect(), ..Server::at("") }
    }
}

/// Routes must be named before they are listened on.
fn free_ports(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    while held.len() < count {
        let port = rand::rng().random_range(PORTS);
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    held.iter().map(|listener: &TcpListener| listener.local_addr().unwrap().port()).collect()
}
