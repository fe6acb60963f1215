//! HTTP calls of handlers on a real host, with a real NATS server.

use serde_json::{Value, json};
use waxwing_event::outcome::FailureKind;

use super::server::Server;
use crate::app::{App, Input};

pub fn manifest(http: &str, more: &str) -> String {
    format!(
        r#"
[app]
name = "calling"
events = ["calls.>"]

[host]
lease = "1s"

[handlers.caller]
module = "caller.wasm"
on = ["calls.asked"]
deadline = "10s"
retry = {{ attempts = 1 }}
outage = {{ after = 0 }}
{more}

[handlers.caller.grants]
emit = ["calls.made"]
http = {http}
"#
    )
}

pub fn granted(server: &Server) -> String {
    format!("[{{ origin = \"{}\", methods = [\"GET\", \"POST\"], private = true }}]", server.origin())
}

pub async fn ask(app: &App, id: &str, calls: Value) {
    let last = app.publish(&[Input::new("calls.asked", id, &calls)]).await;
    app.handled("caller", last).await;
}

pub async fn made(app: &App) -> Vec<Value> {
    let emitted = app.result().await.emitted;
    emitted.iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_calls_what_its_manifest_grants_and_the_log_names_the_grant_that_is_missing() {
    let (server, other) = (Server::start().await, Server::start().await);
    let app = App::new(&manifest(&granted(&server), "")).await;
    let host = app.host().await;
    let calls = json!([
        { "method": "POST", "url": server.url("/ok"), "bytes": 3 },
        { "method": "DELETE", "url": server.url("/ok") },
        { "method": "GET", "url": server.url(&format!("/to?{}", other.url("/ok"))), "follow": true },
    ]);
    ask(&app, "a", calls).await;
    let made = made(&app).await;
    assert_eq!(made[0][0], json!({ "status": 200, "body": "ok" }));
    assert!(made[0][1]["error"].is_string() && made[0][2]["error"].is_string(), "{made:?}");
    assert_eq!((server.seen().len(), other.connections()), (2, 0));
    // A call that must succeed sends its event to the dead letters, as no attempt can cure it.
    ask(&app, "b", json!([{ "method": "GET", "url": other.url("/secret?token=1"), "must": true }])).await;
    let dead = &app.result().await.dead[0].about;
    assert_eq!(dead.kind, FailureKind::Reject);
    let log = app.host_log();
    for told in [
        format!("DELETE of `{0}` is not granted: add \"DELETE\" to its `methods`", server.origin()),
        format!("`{0}` may not be called: add \"{0}\" to `http` in [handlers.caller.grants]", other.origin()),
    ] {
        assert!(log.contains(&told), "{told}\n{log}");
    }
    assert!(!log.contains("token=1"), "{log}");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_under_way_when_its_host_was_killed_is_made_again_with_its_key() {
    let server = Server::start().await;
    let app = App::new(&manifest(&granted(&server), "")).await;
    let host = app.host().await;
    let calls = json!([
        { "method": "POST", "url": server.url("/ok"), "bytes": 7 },
        { "method": "POST", "url": server.url("/silent/1"), "bytes": 8 },
    ]);
    let last = app.publish(&[Input::new("calls.asked", "e", &calls)]).await;
    let seen = server.asked(2).await;
    host.kill().await;
    assert!(made(&app).await.is_empty(), "nothing of the run was written");
    let host = app.host().await;
    app.handled("caller", last).await;
    let again = server.seen();
    assert_eq!(again.len(), 4);
    assert_eq!(again[2..], seen, "each call as it was, its key included");
    assert_ne!(seen[0].key(), seen[1].key());
    assert_eq!(made(&app).await, [json!([{ "status": 200, "body": "ok" }, { "status": 200, "body": "ok" }])]);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_tried_again_calls_again_with_its_key() {
    let server = Server::start().await;
    let retry = "retry = { attempts = 3, immediate = 3 }";
    let manifest = manifest(&granted(&server), "").replace("retry = { attempts = 1 }", retry);
    let app = App::new(&manifest).await;
    let host = app.host().await;
    ask(&app, "e", json!([{ "method": "POST", "url": server.url("/flaky/2/503"), "must": true }])).await;
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
    assert_eq!(made(&app).await, [json!([{ "status": 200, "body": "ok" }])]);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_replay_nor_a_rebuild_calls_anybody() {
    let server = Server::start().await;
    let app = App::new(&manifest(&granted(&server), "")).await;
    let host = app.host().await;
    ask(&app, "e", json!([{ "method": "POST", "url": server.url("/ok") }])).await;
    assert_eq!(server.seen().len(), 1);
    let replayed = app.command(&["replay", "caller", "-o", "json"]).output().await.unwrap();
    let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((&report["events"], &report["different"]), (&json!(1), &json!(1)), "{report}");
    assert!(
        String::from_utf8_lossy(&replayed.stderr).contains("HTTP calls are refused here"),
        "{replayed:?}"
    );
    app.run(&["rebuild", "caller"]).await;
    assert_eq!(server.seen().len(), 1);
    // The live one calls as before.
    let calls = json!([{ "method": "POST", "url": server.url("/ok") }]);
    app.publish(&[Input::new("calls.asked", "f", &calls)]).await;
    server.asked(2).await;
    assert!(host.stop().await);
}
