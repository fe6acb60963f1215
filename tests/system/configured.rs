//! A server with a configuration of its own.

use std::{net::TcpListener, path::Path, process::Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{app::PATIENCE, server::binary};

/// A server that was started with a configuration file; it ends with this.
pub struct Configured {
    /// Where clients connect.
    pub url: String,
    /// Where it tells about itself, where the configuration says that it does.
    pub monitor: Option<String>,
    child: Child,
    _folder: TempDir,
}

impl Configured {
    /// Starts it; the system chooses its ports. `STORE` in the configuration is a folder of its own.
    pub async fn start(config: &str) -> Configured {
        Configured::on_port(config, -1).await
    }

    /// Three servers, each with its part of this configuration, that are one cluster.
    pub async fn cluster(jetstream: &str) -> Vec<Configured> {
        let (clients, routes) = (free_ports(), free_ports());
        let all: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let starts = clients.iter().zip(&routes).map(|(client, route)| {
            let config = format!(
                "server_name: n{client}\n{jetstream}\ncluster {{ name: c, listen: \"127.0.0.1:{route}\", routes: [{}] }}",
                all.join(", ")
            );
            async move { Configured::on_port(&config, i32::from(*client)).await }
        });
        futures::future::join_all(starts).await
    }

    async fn on_port(config: &str, port: i32) -> Configured {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("nats.conf");
        let config = config.replace("STORE", folder.path().to_str().unwrap());
        std::fs::write(&path, format!("listen: \"127.0.0.1:{port}\"\n{config}\n")).unwrap();
        let mut command = Command::new(binary().await);
        command.arg("-c").arg(&path);
        Configured::spawn(command, folder).await
    }

    /// Starts it with a configuration file as it is, which may use these variables; the system chooses its port.
    pub async fn with_file(path: &Path, variables: impl IntoIterator<Item = (String, String)>) -> Configured {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(binary().await);
        command.arg("-c").arg(path).args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"]).arg(folder.path());
        command.envs(variables);
        Configured::spawn(command, folder).await
    }

    async fn spawn(mut command: Command, folder: TempDir) -> Configured {
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut url, mut monitor, mut said) = (None, None, Vec::new());
        while let Some(line) = timeout(PATIENCE, lines.next_line()).await.expect("it goes on").unwrap() {
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                url = Some(format!("nats://{}", address.trim()));
            } else if let Some((_, address)) = line.split_once("Starting http monitor on ") {
                monitor = Some(format!("http://{}", address.trim()));
            } else if line.ends_with("Server is ready") {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Configured { url: url.unwrap(), monitor, child, _folder: folder };
            }
            said.push(line);
        }
        panic!("the server has ended:\n{}", said.join("\n"));
    }

    /// Kills it with SIGKILL and waits for its end.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Ports that were free a moment ago: routes must be named before they are listened on.
fn free_ports() -> Vec<u16> {
    let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
