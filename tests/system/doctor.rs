//! `waxwing doctor` on real servers: each finding that can be provoked, and none where all is well.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use waxwing_engine::{
    entry::{Checkpoint, Lease, Partition},
    port::log::{Expect, NewEntry, commit},
};
use waxwing_event::Position;

use crate::{
    app::{App, Input, PATIENCE},
    configured::Configured,
};

const MANIFEST: &str = r#"
[app]
name = "sick"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.one]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.one.grants]
emit = ["counter.counted"]
"#;

/// The worst level of each check, and how the command ended.
type Levels = (BTreeMap<String, String>, Option<i32>);

async fn findings(app: &App, arguments: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = app.command(&[&["doctor", "--output", "json"], arguments].concat()).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let findings = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {error}"));
    (findings, output.status.code())
}

async fn levels(app: &App, arguments: &[&str]) -> Levels {
    let order = ["ok", "note", "warning", "problem"];
    let rank = |level: &str| order.iter().position(|known| *known == level).unwrap();
    let (findings, code) = findings(app, arguments).await;
    let mut worst: BTreeMap<String, String> = BTreeMap::new();
    for finding in findings {
        let (check, level) = (finding["check"].as_str().unwrap(), finding["level"].as_str().unwrap());
        assert!(level == "ok" || level == "note" || finding["why"].is_string(), "{finding}");
        assert!(level == "ok" || finding["wayOut"].is_string(), "{finding}");
        let entry = worst.entry(check.to_owned()).or_insert_with(|| level.to_owned());
        if rank(level) > rank(entry) {
            *entry = level.to_owned();
        }
    }
    let has_problem = worst.values().any(|level| level == "problem");
    assert_eq!(code, Some(i32::from(has_problem)), "{worst:?}");
    (worst, code)
}

/// Asserts the levels of some checks.
async fn expect(app: &App, arguments: &[&str], expected: &[(&str, &str)]) {
    let (levels, _) = levels(app, arguments).await;
    for (check, level) in expected {
        assert_eq!(levels.get(*check).map(String::as_str), Some(*level), "{check}: {levels:?}");
    }
}

/// Looks again and again until a check has this level.
async fn until(app: &App, check: &str, level: &str) {
    let wait = async { while levels(app, &[]).await.0.get(check).map(String::as_str) != Some(level) {} };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("`{check}` never is a {level}"));
}

async fn api(client: &async_nats::Client, subject: &str, body: &Value) -> Value {
    let answer = client.request(format!("$JS.API.{subject}"), body.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer.get("error"), None, "{subject}");
    answer
}

/// The app's stream with these settings and those that every log has.
async fn with_stream(client: &async_nats::Client, settings: &Value) {
    let mut config = json!({
        "name": "wx-sick", "subjects": ["in.>", "counter.>", "wx.sick.>"], "storage": "file",
        "allow_rollup_hdrs": true, "allow_msg_ttl": true, "allow_atomic": true,
    });
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    api(client, "STREAM.CREATE.wx-sick", &config).await;
}

async fn app_with_stream(settings: &Value) -> App {
    let app = App::new(MANIFEST).await;
    with_stream(&app.client().await, settings).await;
    app
}

fn event(n: u64) -> Input {
    Input::new("in.item", format!("in-{n}"), &json!({ "key": "k", "n": n }))
}

async fn put(app: &App, entry: NewEntry) -> Position {
    commit(&app.log().await, vec![entry]).await.unwrap().last
}

fn one() -> waxwing_event::HandlerName {
    "one".parse().unwrap()
}

fn checkpoint(app: &App, watermark: u64) -> NewEntry {
    let subject = app.layout.checkpoint(&one(), Partition(0));
    Checkpoint { watermark: Position(watermark), ..Checkpoint::default() }.write(subject)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_how_an_app_is_doing_from_before_its_first_start_to_its_crash() {
    let app = App::new(MANIFEST).await;
    expect(&app, &[], &[("log", "note"), ("version", "ok")]).await;

    let host = app.host().await;
    let last = app.publish(&[event(1)]).await;
    app.handled("one", last).await;
    let healthy = [
        ("settings", "ok"),
        ("replicas", "warning"),
        ("storage", "ok"),
        ("retention", "ok"),
        ("duplicate-window", "ok"),
        ("message-size", "ok"),
        ("clock", "ok"),
        ("owner", "ok"),
        ("checkpoint", "ok"),
        ("lag", "ok"),
    ];
    expect(&app, &[], &healthy).await;
    let (levels, _) = levels(&app, &["--app", "sick"]).await;
    assert!(levels.contains_key("owner") && !levels.contains_key("message-size"), "{levels:?}");

    let bad = Input::new("in.item", "bad", &json!({ "no": "key" }));
    let last = app.publish(&[bad]).await;
    app.handled("one", last).await;
    expect(&app, &[], &[("dead-letters", "warning"), ("lag", "ok")]).await;

    host.kill().await;
    until(&app, "owner", "warning").await;
    let host = app.host().await;
    expect(&app, &[], &[("owner", "ok")]).await;
    assert!(host.stop().await);
    expect(&app, &[], &[("owner", "note")]).await;

    let other = MANIFEST.replace("handlers.one", "handlers.other");
    std::fs::write(app.path().join("waxwing.toml"), other).unwrap();
    expect(&app, &[], &[("unnamed", "note"), ("owner", "note")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_of_settings_that_weaken_a_promise() {
    for (settings, check, level) in [
        (json!({ "max_msgs": 10 }), "settings", "problem"),
        (json!({ "max_bytes": 100_000 }), "settings", "problem"),
        (json!({ "max_msgs_per_subject": 1 }), "settings", "problem"),
        (json!({ "discard": "new" }), "settings", "problem"),
        (json!({ "no_ack": true }), "settings", "problem"),
        (json!({ "storage": "memory" }), "storage", "warning"),
        (json!({ "allow_atomic": false }), "settings", "note"),
        (json!({ "subjects": ["in.>", "wx.sick.>"] }), "subjects", "note"),
        (json!({ "max_age": 3_600_000_000_000_u64 }), "retention", "warning"),
        (json!({ "duplicate_window": 1_000_000_000_u64 }), "duplicate-window", "warning"),
        (json!({ "max_msg_size": 100_000 }), "message-size", "warning"),
    ] {
        let app = app_with_stream(&settings).await;
        expect(&app, &[], &[(check, level)]).await;
        // It only looks.
        let config = api(&app.client().await, "STREAM.INFO.wx-sick", &Value::Null).await["config"].clone();
        for (name, value) in settings.as_object().unwrap() {
            assert_eq!(config.get(name).cloned().unwrap_or(json!(false)), *value, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_of_a_handler_that_lags_too_far_behind_for_the_retention() {
    let seconds = |n: u64| n * 1_000_000_000;
    let app = app_with_stream(&json!({ "max_age": seconds(10), "duplicate_window": seconds(10) })).await;
    app.publish(&[event(1)]).await;
    expect(&app, &[], &[("lag", "ok")]).await;
    until(&app, "lag", "warning").await;

    // A checkpoint older than the retention, and nobody who runs the handler.
    let app = app_with_stream(&json!({ "max_age": seconds(2), "duplicate_window": seconds(2) })).await;
    put(&app, checkpoint(&app, 0)).await;
    let wait = async {
        loop {
            app.publish(&[event(1)]).await;
            let (findings, _) = findings(&app, &[]).await;
            if findings.iter().any(|f| f["what"].as_str().unwrap().contains("has stood still for")) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_of_a_stream_that_answers_requests() {
    let app =
        App::new(&MANIFEST.replace("key =", "request = [\"cmd.one.>\"]\nlive = [\"clicks\"]\nkey =")).await;
    let host = app.host().await;
    let (levels, _) = levels(&app, &[]).await;
    assert_eq!(levels.get("requests"), None);
    let commands = json!({ "name": "COMMANDS", "subjects": ["cmd.*.add", "clicks"] });
    api(&app.client().await, "STREAM.CREATE.COMMANDS", &commands).await;
    let (findings, _) = findings(&app, &[]).await;
    let told: Vec<_> = findings.iter().filter(|finding| finding["check"] == "requests").collect();
    assert_eq!(told.len(), 2, "{findings:?}");
    assert!(told.iter().all(|finding| finding["level"] == "warning"), "{told:?}");
    assert!(told[0]["wayOut"].as_str().unwrap().contains("take `cmd.one.>` out of `COMMANDS`"), "{told:?}");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_of_entries_of_the_hosts_that_others_have_damaged() {
    let app = app_with_stream(&json!({})).await;
    let dead = app.layout.dead(&one(), Position(7));
    put(&app, NewEntry::new(dead, "rubbish")).await;
    put(&app, NewEntry::new(app.layout.lease(&one(), Partition(0)), "rubbish")).await;
    expect(&app, &[], &[("dead-letters", "warning"), ("owner", "warning"), ("checkpoint", "ok")]).await;
    put(&app, NewEntry::new(app.layout.checkpoint(&one(), Partition(0)), "rubbish")).await;
    expect(&app, &[], &[("checkpoint", "problem")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_shorter_than_its_checkpoint_is_a_problem_and_stops_that_handler() {
    let handler = &MANIFEST[MANIFEST.find("[handlers.one]").unwrap()..];
    let manifest = [MANIFEST, &handler.replace("one", "two"), &handler.replace("one", "six")].concat();
    let app = App::new(&manifest).await;
    with_stream(&app.client().await, &json!({})).await;
    put(&app, checkpoint(&app, 1_000)).await;
    // Within the log, but not before itself.
    let moved = Checkpoint { marks_after: Position(2), ..Checkpoint::default() };
    put(&app, moved.write(app.layout.checkpoint(&"six".parse().unwrap(), Partition(0)))).await;
    expect(&app, &[], &[("checkpoint", "problem")]).await;

    let host = app.launch();
    let last = app.publish(&[event(1)]).await;
    app.handled("two", last).await;
    let said = "but the checkpoint stands at 1000: it was restored from an older copy or replaced; restore the newer \
                one, or delete the checkpoint `wx.sick.checkpoint.one.0` to begin anew";
    let moved = "the checkpoint `wx.sick.checkpoint.six.0` at 2 tells of 2, which came after it";
    let wait = async {
        while !app.host_log().contains(said) || !app.host_log().contains(moved) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{}", app.host_log()));
    assert!(host.stop().await);
    let outcome = app.result().await;
    assert!(outcome.state.keys().all(|(handler, _)| handler == "two"), "{:?}", outcome.state);
    assert_eq!(outcome.state.len(), 1);

    // As the messages say: without the checkpoint they begin anew.
    let purge = json!({ "filter": "wx.sick.checkpoint.*.0" });
    api(&app.client().await, "STREAM.PURGE.wx-sick", &purge).await;
    let host = app.host().await;
    for handler in ["one", "two", "six"] {
        app.handled(handler, last).await;
    }
    assert!(host.stop().await);
    assert_eq!(app.result().await.state.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sees_how_soon_data_is_on_disk_by_monitoring_or_the_system_account() {
    const SERVER: &str = r#"
        http: "127.0.0.1:-1"
        jetstream { store_dir: "STORE/js", sync_interval: SYNC }
        accounts {
            SYS { users: [{ user: sys, password: s }] }
            APP { jetstream: enabled, users: [{ user: app, password: a }] }
        }
        system_account: SYS
        no_auth_user: app
    "#;
    for (sync, level) in [("always", "ok"), ("\"10s\"", "warning")] {
        let app = App::new(MANIFEST).await;
        let server = Configured::start(&SERVER.replace("SYNC", sync)).await;
        with_stream(&async_nats::connect(&server.url).await.unwrap(), &json!({})).await;
        let (url, monitor) = (server.url.as_str(), server.monitor.as_deref().unwrap());
        expect(&app, &["--server", url, "--monitor", monitor], &[("sync", level)]).await;
        let folder = app.path().join("nats/context");
        std::fs::create_dir_all(&folder).unwrap();
        let system = json!({ "url": url, "user": "sys", "password": "s" });
        std::fs::write(folder.join("system.json"), system.to_string()).unwrap();
        // Variables win over contexts, and this test's name another server.
        let system = app
            .command(&["doctor", "-o", "json", "--server", url, "--system-context", "system"])
            .env_remove("NATS_URL")
            .output()
            .await
            .unwrap();
        let findings: Vec<Value> = serde_json::from_slice(&system.stdout).unwrap();
        let found = findings.iter().find(|finding| finding["check"] == "sync").unwrap();
        assert_eq!(found["level"], level, "{found}");
        expect(&app, &["--server", url], &[("sync", "note")]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_of_what_a_server_or_an_account_does_not_give() {
    let app = App::new(MANIFEST).await;
    let bare = Configured::start("").await;
    expect(&app, &["--server", &bare.url], &[("jetstream", "problem")]).await;

    let small = Configured::start("max_payload: 100KB\njetstream { store_dir: \"STORE/js\" }").await;
    with_stream(&async_nats::connect(&small.url).await.unwrap(), &json!({})).await;
    expect(&app, &["--server", &small.url], &[("message-size", "warning")]).await;

    let config = r#"
        jetstream { store_dir: "STORE/js" }
        accounts { APP { jetstream { max_file: 10MB, max_mem: 1MB }, users: [{ user: app, password: a }] } }
        no_auth_user: app
    "#;
    let full = Configured::start(config).await;
    let client = async_nats::connect(&full.url).await.unwrap();
    with_stream(&client, &json!({})).await;
    expect(&app, &["--server", &full.url], &[("account-storage", "ok")]).await;
    let context = async_nats::jetstream::new(client);
    for _ in 0..9 {
        context.publish("in.filler", vec![b'x'; 1_000_000].into()).await.unwrap().await.unwrap();
    }
    expect(&app, &["--server", &full.url], &[("account-storage", "warning")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_of_a_copy_that_is_away() {
    let app = App::new(MANIFEST).await;
    let mut servers = Configured::cluster("jetstream { store_dir: \"STORE/js\" }").await;
    let urls: Vec<&str> = servers.iter().map(|server| server.url.as_str()).collect();
    let url = urls.join(",");
    let client = async_nats::connect(urls.clone()).await.unwrap();
    let made = async {
        loop {
            let config = json!({ "name": "wx-sick", "subjects": ["in.>", "wx.sick.>"], "num_replicas": 3 });
            let answer = client.request("$JS.API.STREAM.CREATE.wx-sick", config.to_string().into()).await;
            if answer.is_ok_and(|answer| !String::from_utf8_lossy(&answer.payload).contains("\"error\"")) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, made).await.unwrap();
    let info = api(&client, "STREAM.INFO.wx-sick", &Value::Null).await;
    let leader = info["cluster"]["leader"].as_str().unwrap();
    let follower = servers.iter_mut().find(|server| !server.url.ends_with(&leader[1..])).unwrap();
    follower.kill().await;
    let wait = async {
        loop {
            let (levels, _) = levels(&app, &["--server", &url]).await;
            if levels.get("copies").is_some_and(|level| level == "warning") {
                return levels;
            }
        }
    };
    let levels = tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert_eq!(levels["replicas"], "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn says_in_words_what_it_found_and_what_to_do() {
    let app = app_with_stream(&json!({ "max_msgs": 10 })).await;
    let lease = Lease { host: Some("host-gone".to_owned()) };
    let subject = app.layout.lease(&one(), Partition(0));
    let expect = Expect { subject: None, last: Position::NONE };
    let client = app.client().await;
    client.publish(subject.to_string(), lease.write(subject, expect).payload).await.unwrap();
    client.flush().await.unwrap();
    let output = app.command(&["doctor"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let version = client.server_info().version;
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap().replace(&version, "VERSION"));
}
