//! A stream with three replicas, which takes only one message at a time about the same fence.

use std::{net::TcpListener, path::Path, process::Stdio, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::process::{Child, Command};
use waxwing_engine::port::{
    Log,
    log::{CommitError, Committed, NewEntry, commit},
};
use waxwing_event::Position;
use waxwing_log::{
    JetStreamLog,
    jetstream::{Options, Server},
};

use super::bed::{entry, expecting, in_time, options};
use crate::server::binary;

const LEASE: &str = "wx.test.lease.h.0";
const MORE: &str = "wx.test.lease.h.1";

/// Three servers that know each other; they end with this.
struct Cluster {
    server: Server,
    _nodes: Vec<Child>,
    _folder: TempDir,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = TempDir::new().unwrap();
        let (clients, routes) = (free_ports(), free_ports());
        let all_routes: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut nodes = Vec::new();
        for (client, route) in clients.iter().zip(&routes) {
            let store = folder.path().join(client.to_string());
            let config = format!(
                "server_name: n{client}\nlisten: \"127.0.0.1:{client}\"\njetstream {{ store_dir: {store:?} }}\n\
                 cluster {{ name: c, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n",
                all_routes.join(", "),
            );
            nodes.push(run(&folder.path().join(format!("{client}.conf")), &config).await);
        }
        let urls = clients.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let server = Server { urls, ..Server::at("") };
        in_time(ready(&server)).await;
        Cluster { server, _nodes: nodes, _folder: folder }
    }

    async fn log(&self) -> Arc<JetStreamLog> {
        let options = Options { replicas: 3, ..options() };
        Arc::new(in_time(JetStreamLog::open(&self.server, &options)).await.unwrap())
    }
}

/// Ports that were free a moment ago: routes must be named before they are listened on.
fn free_ports() -> Vec<u16> {
    let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

async fn run(path: &Path, config: &str) -> Child {
    std::fs::write(path, config).unwrap();
    let mut command = Command::new(binary().await);
    command.arg("-c").arg(path).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// Waits until the servers have chosen a leader.
async fn ready(server: &Server) {
    let asked = async || {
        let client = async_nats::connect(&server.urls).await.ok()?;
        let answer = client.request("$JS.API.INFO", "".into());
        let answer = tokio::time::timeout(Duration::from_millis(300), answer).await.ok()?.ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).ok()?;
        answer.get("error").is_none().then_some(())
    };
    while asked().await.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Hands all commits over at once and waits for their ends, in the order of the calls.
async fn pipelined(
    log: &Arc<JetStreamLog>,
    commits: Vec<Vec<NewEntry>>,
) -> Vec<Result<Committed, CommitError>> {
    let mut ends = Vec::new();
    for entries in commits {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        log.commit(entries, Box::new(move |end| drop(sender.send(end))));
        ends.push(receiver);
    }
    let mut told = Vec::new();
    for end in ends {
        told.push(in_time(end).await.unwrap());
    }
    told
}

fn fenced(payload: i32, lease: Position) -> Vec<NewEntry> {
    vec![expecting("a.b", &payload.to_string(), Some(LEASE), lease)]
}

#[tokio::test]
async fn a_replicated_stream_takes_pipelined_commits_under_one_fence() {
    let cluster = Cluster::start().await;
    let log = cluster.log().await;
    let lease = in_time(commit(log.as_ref(), vec![entry(LEASE, "me")])).await.unwrap().last;

    let ends = pipelined(&log, (0..1000).map(|n| fenced(n, lease)).collect()).await;
    let positions: Vec<u64> = ends.into_iter().map(|end| end.unwrap().last.0).collect();
    assert_eq!(positions, (2..=1001).collect::<Vec<_>>());

    // Commits under several fences wait for each of them.
    let more = in_time(commit(log.as_ref(), vec![entry(MORE, "me")])).await.unwrap().last;
    let both = || vec![expecting("a.b", "x", Some(LEASE), lease), expecting("a.b", "y", Some(MORE), more)];
    let mixed = (0..300).map(|n| match n % 3 {
        0 => both(),
        1 => fenced(n, lease),
        _ => vec![expecting("a.b", "z", Some(MORE), more)],
    });
    let ends = pipelined(&log, mixed.collect()).await;
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");

    // One that must be refused takes none of its neighbours with it.
    let state = |last| [vec![expecting("wx.test.state.h.k", "1", None, last)], fenced(0, lease)].concat();
    let commits =
        vec![fenced(1, lease), fenced(2, lease), state(Position(5)), fenced(3, lease), state(Position(0))];
    let before = in_time(log.bounds()).await.unwrap().last.0;
    let ends = pipelined(&log, commits).await;
    let taken: Vec<Option<u64>> = ends.iter().map(|end| Some(end.as_ref().ok()?.last.0 - before)).collect();
    assert_eq!(taken, [Some(1), Some(2), None, Some(3), Some(5)], "{ends:?}");
    assert!(matches!(ends[2], Err(CommitError::Refused(_))), "{ends:?}");

    // A takeover refuses all that wait.
    let theirs =
        in_time(commit(log.as_ref(), vec![expecting(LEASE, "they", None, lease)])).await.unwrap().last;
    let ends = pipelined(&log, (0..20).map(|n| fenced(n, lease)).collect()).await;
    assert!(ends.iter().all(|end| matches!(end, Err(CommitError::Refused(_)))), "{ends:?}");
    in_time(commit(log.as_ref(), fenced(4, theirs))).await.unwrap();
}
