//! What a host tells of itself: probes over HTTP, and the service manager.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixDatagram},
};
use waxwing::control::probes::{LIVE, READY};

use crate::{
    app::{App, Backing, Input, PATIENCE},
    proxy::Proxied,
};

const MANIFEST: &str = r#"
[app]
name = "probed"
events = ["in.>", "naps.>"]

[host]
lease = "1s"
grace = "60s"

[handlers.sleeper]
module = "sleeper.wasm"
on = ["in.item"]
deadline = "30s"

[handlers.sleeper.grants]
emit = ["naps.slept"]
"#;

pub const ANY_PORT: [&str; 2] = ["--probes", "127.0.0.1:0"];

/// Waits until the host has logged this.
pub async fn logged<B: Backing>(app: &App<B>, what: &str) -> String {
    let looked = async {
        loop {
            let log = app.host_log();
            match log.split_once(what) {
                Some((_, rest)) if rest.contains('\n') => return rest.lines().next().unwrap().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, looked).await;
    waited.unwrap_or_else(|_| panic!("`{what}` is not in the host's log:\n{}", app.host_log()))
}

/// A status, and the body.
async fn ask(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Asks until the status is this one; the body then.
async fn until(address: &str, path: &str, status: u16) -> String {
    let asked = async {
        loop {
            match ask(address, path).await {
                Some((found, body)) if found == status => return body,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, asked).await;
    waited.unwrap_or_else(|_| panic!("{path} never answers {status}"))
}

fn missing(body: &str) -> Vec<String> {
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&problem["status"], &problem["title"]),
        (&503.into(), &"Service Unavailable".into()),
        "{body}"
    );
    serde_json::from_value(problem["missing"].clone()).unwrap()
}

/// Asks until the host is not ready for this reason, whichever it tells of before.
async fn until_lacking(address: &str, reason: &str) {
    let mut told = Vec::new();
    let asked = async {
        while !told.iter().any(|lack: &String| lack.starts_with(reason)) {
            told = missing(&until(address, READY, 503).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, asked).await;
    assert!(waited.is_ok(), "never `{reason}`, but {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_ready_when_it_is_and_says_what_it_lacks_when_it_is_not() {
    let app = App::on(Proxied::start().await, MANIFEST);
    app.server.proxy.silence();
    let mut host = app.launch_with(&ANY_PORT, &[]);
    let address = logged(&app, "answering probes address=").await;
    until(&address, LIVE, 200).await;
    let lacks = missing(&until(&address, READY, 503).await);
    assert_eq!(lacks, ["the log is not open yet"]);
    app.server.proxy.restore();
    host.ready().await;
    assert_eq!(until(&address, READY, 200).await, "ready\n");

    app.server.proxy.cut();
    until_lacking(&address, "the log does not answer: ").await;
    assert_eq!(ask(&address, LIVE).await.unwrap().0, 200);
    app.server.proxy.restore();
    until(&address, READY, 200).await;

    let nap = serde_json::json!({ "n": 1, "sleep_ms": 3_000 });
    app.publish(&[Input::new("in.item", "1", &nap)]).await;
    logged(&app, "nap 1 begins").await;
    host.signal("TERM").await;
    assert_eq!(missing(&until(&address, READY, 503).await), ["the host stops"]);
    assert_eq!(ask(&address, LIVE).await.unwrap().0, 200);
    assert!(host.ended().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let app = App::new(MANIFEST).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = app.command(&["run"]).env("WAXWING_PROBES", &address).output().await.unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let expected = format!("cannot answer probes at {address}: choose another address with `--probes`");
    assert!(error.contains(&expected), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_are_a_problem_that_names_the_probes() {
    let health = std::sync::Arc::new(waxwing::control::Health::new());
    let probes = waxwing::control::Probes::start("127.0.0.1:0".parse().unwrap(), health).await.unwrap();
    let (status, body) = ask(&probes.address().to_string(), "/healthz").await.unwrap();
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["title"]), (404, &"Not Found".into()));
    assert_eq!(problem["detail"], "ask /livez, /readyz or /metrics");
}

/// What the service manager is told next.
async fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap().trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_of_each_change_and_meanwhile_that_the_host_turns() {
    let app = App::new(MANIFEST).await;
    let path = app.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let path = path.to_str().unwrap();
    let host = app.launch_with(&[], &[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "200000")]);
    let mut before = Vec::new();
    loop {
        match told(&socket).await {
            ready if ready == "READY=1" => break,
            other => before.push(other),
        }
    }
    assert!(!before.is_empty() && before.iter().all(|told| told == "WATCHDOG=1"), "{before:?}");
    for _ in 0..3 {
        assert_eq!(told(&socket).await, "WATCHDOG=1");
    }
    host.signal("TERM").await;
    let mut stops = told(&socket).await;
    while stops == "WATCHDOG=1" {
        stops = told(&socket).await;
    }
    assert_eq!(stops, "STOPPING=1");
    assert!(host.ended().await);
}
