//! `waxwing hosts`: who lives, and who runs what.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::{App, PATIENCE};

const MANIFEST: &str = r#"
[app]
name = "many"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.one]
module = "counter.wasm"
on = ["in.>"]

[handlers.two]
module = "counter.wasm"
on = ["in.>"]
"#;

/// What each living host runs, the busiest first.
async fn hosts(app: &App) -> Vec<Value> {
    let told: Value = serde_json::from_str(&app.run(&["hosts", "--output", "json"]).await).unwrap();
    let mut handlers: Vec<Value> =
        told.as_array().unwrap().iter().map(|host| host["handlers"].clone()).collect();
    handlers.sort_by_key(|handlers| std::cmp::Reverse(handlers.as_array().unwrap().len()));
    handlers
}

async fn become_so(app: &App, expected: &[Value]) {
    let wait = async {
        while hosts(app).await != expected {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{:?}", hosts(app).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_who_lives_and_who_runs_what() {
    let app = App::new(MANIFEST).await;
    let first = app.host().await;
    become_so(&app, &[json!(["one", "two"])]).await;
    let second = app.standby().await;
    assert_eq!(hosts(&app).await, [json!(["one", "two"]), json!([])]);
    let text = app.run(&["hosts"]).await;
    assert!(text.contains("one two") && text.contains("nothing: it stands by"), "{text}");
    first.kill().await;
    become_so(&app, &[json!(["one", "two"])]).await;
    second.kill().await;
    become_so(&app, &[]).await;
    assert_eq!(app.run(&["hosts"]).await, "no host lives: start one with `waxwing run`\n");
}
