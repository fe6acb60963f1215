//! `publish = "kv"`: a handler's state, read by clients of a KV bucket that know nothing of Waxwing.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::{
    self,
    kv::{Entry, Operation, Store},
};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use waxwing_engine::entry::state;
use waxwing_event::Position;

use crate::app::{App, Input, PATIENCE};

const MANIFEST: &str = r#"
[app]
name = "shown"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.count]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"
publish = "kv"

[handlers.count.grants]
emit = ["counter.counted"]
settings = { mode = "forgetful" }

[handlers.hidden]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.hidden.grants]
settings = { mode = "state" }
"#;

/// Keys that a KV bucket does not take as they are, and one that it does.
const KEYS: [&str; 6] = ["plain/k-1_a.b", "a@b.c", ".x.", "ü b", "*>", "="];

fn input(key: &str, n: u64) -> Input {
    Input::new("in.item", format!("{key} {n}"), &json!({ "key": key, "n": n }))
}

async fn counted(app: &App, inputs: &[Input]) -> Position {
    let last = app.publish(inputs).await;
    app.handled("count", last).await;
    last
}

async fn context(app: &App) -> jetstream::Context {
    jetstream::new(app.client().await)
}

async fn bucket(app: &App) -> Store {
    context(app).await.get_key_value("shown-count").await.unwrap()
}

/// What a client reads in the bucket.
async fn shown(bucket: &Store) -> BTreeMap<String, Bytes> {
    let mut keys = bucket.keys().await.unwrap();
    let mut shown = BTreeMap::new();
    while let Some(key) = keys.next().await {
        let key = key.unwrap();
        if let Some(value) = bucket.get(key.clone()).await.unwrap() {
            shown.insert(state::decode_key(&key).unwrap(), value);
        }
    }
    shown
}

/// Waits until the bucket shows what the handler remembers, and nothing else.
async fn until_shown(app: &App) -> BTreeMap<String, Bytes> {
    let all = app.result().await.state.into_iter();
    let own = all.filter_map(|((handler, key), value)| (handler == "count").then_some((key, value)));
    let state: BTreeMap<String, Bytes> = own.collect();
    let bucket = bucket(app).await;
    let wait = async {
        while shown(&bucket).await != state {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{:?}\n{state:?}", shown(&bucket).await);
    state
}

async fn next(watch: &mut jetstream::kv::Watch) -> Entry {
    tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kv_client_gets_lists_and_watches_and_sees_deletes() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    let bucket = bucket(&app).await;
    let mut watch = bucket.watch_all().await.unwrap();
    let mut inputs: Vec<Input> = (1..=2).flat_map(|n| KEYS.map(|key| input(key, n))).collect();
    inputs.push(input("*>", 0));
    counted(&app, &inputs).await;
    let state = until_shown(&app).await;
    assert_eq!(state.len(), KEYS.len() - 1);
    assert!(bucket.get("=2A=3E").await.unwrap().is_none());
    let value: Value = serde_json::from_slice(&bucket.get("a=40b.c").await.unwrap().unwrap()).unwrap();
    assert_eq!(value, json!({ "count": 2, "last": 2 }));
    // Of values that follow each other fast a watcher may see the last alone, and each in its order.
    let mut seen: BTreeMap<String, Option<u64>> = BTreeMap::new();
    while seen.values().any(|count| *count == Some(1)) || seen.len() < KEYS.len() || seen["*>"].is_some() {
        let Entry { key, value, operation, .. } = next(&mut watch).await;
        let count = match operation {
            Operation::Put => serde_json::from_slice::<Value>(&value).unwrap()["count"].as_u64(),
            Operation::Delete | Operation::Purge => None,
        };
        let before = seen.insert(state::decode_key(&key).unwrap(), count);
        assert!(
            before.is_none_or(|before| before < count || count.is_none()),
            "{key}: {before:?}, {count:?}"
        );
    }
    counted(&app, &[input("*>", 7)]).await;
    let again = next(&mut watch).await;
    assert_eq!((again.key.as_str(), again.operation), ("=2A=3E", Operation::Put));
    let hidden = context(&app).await.get_key_value("shown-hidden").await;
    assert!(hidden.is_err(), "only what is published is shown");
    assert!(host.stop().await, "{}", app.host_log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_writes_to_the_bucket() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    counted(&app, &[input("k", 1)]).await;
    let before = until_shown(&app).await;
    let bucket = bucket(&app).await;
    assert!(bucket.put("k", "forged".into()).await.is_err());
    assert!(bucket.create("new", "forged".into()).await.is_err());
    assert!(bucket.delete("k").await.is_err());
    assert!(bucket.purge("k").await.is_err());
    let stream = context(&app).await.get_stream("KV_shown-count").await.unwrap();
    assert!(stream.purge().await.is_err());
    assert!(stream.delete_message(1).await.is_err());
    assert_eq!(until_shown(&app).await, before);
    assert!(host.stop().await, "{}", app.host_log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_after_restarts_and_shows_what_was_before_it() {
    let mut app = App::new(&MANIFEST.replace("publish = \"kv\"\n", "")).await;
    let host = app.host().await;
    counted(&app, &[input("a", 1), input("b", 1), input("c", 1), input("c", 0)]).await;
    assert!(context(&app).await.get_key_value("shown-count").await.is_err());
    assert!(host.stop().await, "{}", app.host_log());
    std::fs::write(app.path().join("waxwing.toml"), MANIFEST).unwrap();
    let host = app.host().await;
    assert_eq!(until_shown(&app).await.len(), 2);
    app.server.process.kill_hard().await.unwrap();
    app.server.process.restart().await.unwrap();
    counted(&app, &[input("b", 2), input("d", 1)]).await;
    assert_eq!(until_shown(&app).await.len(), 3);
    host.kill().await;
    let host = app.host().await;
    counted(&app, &[input("a", 0)]).await;
    assert_eq!(until_shown(&app).await.len(), 2);
    assert!(host.stop().await, "{}", app.host_log());
}

/// What `waxwing doctor` says of the bucket: the level.
async fn judged(app: &App) -> String {
    let output = app.command(&["doctor", "--output", "json"]).output().await.unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = found.to_string();
    let findings = found.as_array().or_else(|| found["findings"].as_array()).unwrap();
    let finding =
        findings.iter().find(|finding| finding["check"] == "bucket").unwrap_or_else(|| panic!("{text}"));
    finding["level"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_another_log_it_is_made_anew() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    counted(&app, &[input("old", 1), input("old", 2)]).await;
    until_shown(&app).await;
    assert_eq!(judged(&app).await, "ok");
    host.kill().await;
    context(&app).await.delete_stream("wx-shown").await.unwrap();
    // The folder knows the host's identity; the log is a new one.
    let host = app.host().await;
    counted(&app, &[input("new", 1)]).await;
    let state = until_shown(&app).await;
    assert_eq!(state.keys().collect::<Vec<_>>(), ["new"]);
    assert!(app.host_log().contains("made anew"), "{}", app.host_log());
    assert!(host.stop().await, "{}", app.host_log());
    context(&app).await.delete_stream("KV_shown-count").await.unwrap();
    assert_eq!(judged(&app).await, "warning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_bucket_is_refused() {
    let app = App::new(MANIFEST).await;
    let config = jetstream::kv::Config { bucket: "shown-count".to_owned(), ..Default::default() };
    context(&app).await.create_key_value(config).await.unwrap();
    let output = app.command(&["run"]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("`shown-count` cannot show the state of handler `count`: others write to it"),
        "{said}"
    );
    assert_eq!(judged(&app).await, "problem");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_take_keys_out_of_it_is_put_right() {
    let app = App::new(MANIFEST).await;
    app.host().await.kill().await;
    let client = app.client().await;
    let asked = async |request: &str, body: &Value| -> Value {
        let subject = format!("$JS.API.STREAM.{request}.KV_shown-count");
        let answer = client.request(subject, body.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        answer["config"].clone()
    };
    let made = asked("INFO", &json!({})).await;
    assert_eq!((&made["storage"], &made["max_msgs_per_subject"]), (&json!("file"), &json!(1)));
    let mut bounded = made.clone();
    (bounded["max_msgs"], bounded["max_age"]) = (json!(1), json!(3_600_000_000_000_u64));
    asked("UPDATE", &bounded).await;
    let host = app.host().await;
    assert_eq!(asked("INFO", &json!({})).await, made);
    counted(&app, &[input("a", 1), input("b", 1)]).await;
    assert_eq!(until_shown(&app).await.len(), 2);
    assert!(host.stop().await, "{}", app.host_log());
}
