//! Opening: what is refused, what is put right, and what is said.

use async_nats::Client;
use serde_json::{Value, json};
use waxwing_engine::port::{Log, log::commit};
use waxwing_log::{
    JetStreamLog,
    jetstream::{ConnectError, OpenError, Options, Server},
};

use super::bed::{entry, options, pattern};
use crate::server::{TestServer, binary};

async fn api(client: &Client, subject: &str, body: Value) -> Value {
    let answer = client.request(format!("$JS.API.{subject}"), body.to_string().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

async fn with_stream(name: &str, mut config: Value) -> (TestServer, Client) {
    let server = TestServer::start().await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    config["name"] = json!(name);
    let answer = api(&client, &format!("STREAM.CREATE.{name}"), config).await;
    assert_eq!(answer.get("error"), None);
    (server, client)
}

async fn refused(server: &TestServer) -> String {
    match JetStreamLog::open(&server.address(), &options()).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_log_is_opened_again_as_it_is() {
    let server = TestServer::start().await;
    let first = JetStreamLog::open(&server.address(), &options()).await.unwrap();
    let second = JetStreamLog::open(&server.address(), &options()).await.unwrap();
    commit(&first, vec![entry("a.b", "1")]).await.unwrap();
    assert!(second.last(&"a.b".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_gets_the_subjects_and_flags_that_it_lacks() {
    let (server, client) =
        with_stream("wx-test", json!({ "subjects": ["old.>"], "metadata": { "team": "x" } })).await;
    let log = JetStreamLog::open(&server.address(), &options()).await.unwrap();
    commit(&log, vec![entry("a.b", "1"), entry("old.x", "2")]).await.unwrap();
    let config = api(&client, "STREAM.INFO.wx-test", Value::Null).await["config"].clone();
    assert_eq!(config["subjects"], json!(["old.>", "a.>", "wx.test.>"]));
    assert_eq!(config["metadata"]["team"], "x");
}

#[tokio::test]
async fn streams_that_break_a_promise_are_refused_with_the_way_out() {
    for (config, word) in [
        (json!({ "max_msgs_per_subject": 1 }), "max_msgs_per_subject"),
        (json!({ "max_msgs": 10 }), "max_msgs"),
        (json!({ "max_bytes": 1000 }), "max_bytes"),
        (json!({ "discard": "new" }), "discard"),
        (json!({ "retention": "workqueue" }), "retention"),
        (json!({ "retention": "interest" }), "retention"),
        (json!({ "storage": "memory" }), "storage is memory, asked for is file"),
        (json!({ "no_ack": true }), "no_ack"),
        (json!({ "deny_purge": true }), "deny_purge"),
    ] {
        let mut config = config;
        config["subjects"] = json!(["a.>", "wx.test.>"]);
        let (server, _) = with_stream("wx-test", config).await;
        let message = refused(&server).await;
        assert!(message.contains(word) && message.contains("`wx-test`"), "{message}");
    }
}

#[tokio::test]
async fn a_stream_in_the_way_is_named() {
    let (server, _) = with_stream("orders", json!({ "subjects": ["a.b.>"] })).await;
    let message = refused(&server).await;
    assert!(message.contains("`orders` keeps `a.>`"), "{message}");
}

#[tokio::test]
async fn a_server_without_jetstream_is_named() {
    let store = tempfile::TempDir::new().unwrap();
    let config = store.path().join("plain.conf");
    std::fs::write(&config, "listen: 127.0.0.1:-1").unwrap();
    let ports = store.path().to_owned();
    let mut child = tokio::process::Command::new(binary().await)
        .arg("-c")
        .arg(&config)
        .arg("--ports_file_dir")
        .arg(&ports)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let file = ports.join(format!("nats-server_{}.ports", child.id().unwrap()));
    let url = super::bed::in_time(async {
        loop {
            // The file may be there before all of its text is.
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(ports) = serde_json::from_str::<Value>(&text) {
                return ports["nats"][0].as_str().unwrap().to_owned();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = JetStreamLog::open(&Server::at(url), &options()).await.err().unwrap();
    assert!(matches!(error, OpenError::NoJetStream), "{error}");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn nobody_at_the_address_is_said_at_once() {
    let server = Server::at("nats://127.0.0.1:1");
    let error = JetStreamLog::open(&server, &options()).await.err().unwrap();
    assert!(matches!(error, OpenError::Connect(ConnectError::Unreachable { .. })), "{error}");
    let nowhere = Server { urls: Vec::new(), ..server };
    let error = JetStreamLog::open(&nowhere, &options()).await.err().unwrap();
    assert!(matches!(error, OpenError::Connect(ConnectError::NoServer)), "{error}");
}

#[tokio::test]
async fn retention_is_as_asked_for_and_spares_what_is_kept_for_ever() {
    let server = TestServer::start().await;
    let brief = Options { retention: Some(std::time::Duration::from_secs(1)), ..options() };
    let log = JetStreamLog::open(&server.address(), &brief).await.unwrap();
    let ever = waxwing_engine::port::log::NewEntry {
        keep: waxwing_engine::port::log::Keep::Forever,
        ..entry("a.ever", "1")
    };
    commit(&log, vec![ever, entry("a.b", "2")]).await.unwrap();
    super::bed::in_time(async {
        while log.last(&"a.b".parse().unwrap()).await.unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let all = log.last_of_each(&pattern(">"), waxwing_engine::port::log::Part::Whole, 10).await.unwrap();
    assert_eq!(all.iter().map(|e| e.subject.as_str()).collect::<Vec<_>>(), ["a.ever"]);
}
