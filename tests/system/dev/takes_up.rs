//! What is taken up of the manifest and of modules that are files, and what is not.

use std::fs;

use serde_json::{Value, json};

use super::bed::Dev;
use crate::app::{App, Input, module};

const MANIFEST: &str = r#"
[app]
name = "files"
events = ["counter.>"]

[handlers.count]
module = "counter.wasm"
on = ["counter.add"]
key = "data.key"

[handlers.count.grants]
emit = ["counter.counted"]
settings = { plus = "0" }
"#;

const ANOTHER: &str = r#"
[handlers.again]
module = "counter.wasm"
on = ["counter.add"]
grants = { emit = ["counter.counted"] }
"#;

fn dev(app: &App) -> Dev {
    Dev::start(app.command(&["dev", "--verbose"]), app.path().join("dev.log"))
}

fn write(app: &App, manifest: &str) {
    fs::write(app.path().join("waxwing.toml"), manifest).unwrap();
}

/// Publishes an event, and gives what the handler has counted.
async fn counted(dev: &mut Dev) -> Value {
    dev.publish(r#"counter.add {"key":"k","n":1}"#).await;
    let event = dev.tells_where("event", |event| event["handler"] == "count").await;
    assert_eq!(event["outcome"], "done", "{event}");
    event["emits"][0]["data"]["count"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_manifest_is_taken_up_and_a_wrong_one_is_not() {
    let app = App::new(MANIFEST).await;
    let mut dev = dev(&app);
    dev.tells("ready").await;
    assert_eq!(counted(&mut dev).await, 1);

    // A setting: it goes on without a pause.
    write(&app, &MANIFEST.replace("\"0\"", "\"100\""));
    let swapped = dev.tells("swapped").await;
    assert_eq!((&swapped["how"], &swapped["files"]), (&json!("swapped"), &json!(["waxwing.toml"])));
    assert_eq!(counted(&mut dev).await, 102);

    // A wrong one: with the line, and what ran goes on.
    write(&app, &MANIFEST.replace("key =", "kay ="));
    let failed = dev.tells("failed").await;
    assert_eq!(failed["step"], "manifest");
    assert!(failed["text"].as_str().unwrap().contains("waxwing.toml:9:1:"), "{failed}");
    assert_eq!(counted(&mut dev).await, 103);

    // More than a run's: it begins anew, where it was.
    let changed = MANIFEST.replace("key =", "retry = { attempts = 3 }\nkey =");
    write(&app, &changed);
    let swapped = dev.tells("swapped").await;
    assert_eq!(swapped["how"], "begun-anew");
    assert_eq!(counted(&mut dev).await, 4);

    // Another handler comes, and goes.
    write(&app, &format!("{changed}{ANOTHER}"));
    let swapped = dev.tells("swapped").await;
    assert_eq!((&swapped["handler"], &swapped["how"]), (&json!("again"), &json!("begun")));
    assert_eq!(counted(&mut dev).await, 5);
    write(&app, &changed);
    assert_eq!(dev.tells("removed").await["handler"], "again");

    // The log itself: all begin anew.
    let changed = changed
        .replace("[\"counter.>\"]", "[\"counter.>\", \"more.>\"]")
        .replace("[\"counter.add\"]", "[\"counter.add\", \"more.add\"]");
    write(&app, &changed);
    dev.tells("restarted").await;
    dev.tells("swapped").await;
    dev.publish(r#"more.add {"key":"k","n":1}"#).await;
    let event = dev.tells_where("event", |event| event["subject"] == "more.add").await;
    assert_eq!(event["emits"][0]["data"]["count"], 6, "{event}");
    assert!(dev.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_does_not_load_leaves_the_one_before() {
    let app = App::new(MANIFEST).await;
    let mut dev = dev(&app);
    dev.tells("ready").await;
    assert_eq!(counted(&mut dev).await, 1);
    let file = app.path().join("counter.wasm");
    fs::write(&file, "no module").unwrap();
    let failed = dev.tells("failed").await;
    assert_eq!((&failed["step"], &failed["handler"]), (&json!("load"), &json!("count")));
    assert!(failed["text"].as_str().unwrap().contains("it is not WebAssembly"), "{failed}");
    assert_eq!(counted(&mut dev).await, 2);
    // Put in its place by a rename, as many tools do.
    let beside = app.path().join("beside.wasm");
    fs::copy(module("echo"), &beside).unwrap();
    fs::rename(&beside, &file).unwrap();
    let swapped = dev.tells("swapped").await;
    assert_eq!((&swapped["how"], &swapped["files"]), (&json!("swapped"), &json!(["counter.wasm"])));
    fs::copy(module("counter"), &beside).unwrap();
    fs::rename(&beside, &file).unwrap();
    dev.tells("swapped").await;
    // The state is the handler's, whatever ran in between.
    assert_eq!(counted(&mut dev).await, 3);
    assert!(dev.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_told_with_its_reason_and_many_events_are_summed_up() {
    let app = App::new(&MANIFEST.replace("{ plus = \"0\" }", "{ fails = \"5\" }")).await;
    let mut dev = dev(&app);
    dev.tells("ready").await;
    dev.publish(r#"counter.add {"key":"k","n":5}"#).await;
    let event = dev.tells("event").await;
    assert_eq!((&event["outcome"], &event["failure"]["reason"]), (&json!("retry"), &json!("5 fails")));
    let inputs: Vec<Input> = (0..2_000)
        .map(|n| Input::new("counter.add", n.to_string(), &json!({ "key": n.to_string(), "n": 5 * n + 1 })))
        .collect();
    app.publish(&inputs).await;
    let (mut shown, mut more) = (0, 0);
    while shown + more < 2_000 {
        let told = dev.tells_any(&["event", "more"]).await;
        match told["what"].as_str().unwrap() {
            "more" => more += told["events"].as_u64().unwrap() - told["failed"].as_u64().unwrap(),
            _ => shown += u64::from(told["outcome"] == "done"),
        }
    }
    assert!(more > 0, "all of {shown} events were shown");
    // Wrong lines are told, and do no harm.
    for (line, why) in [
        ("a.*", "is no subject"),
        ("wx.files.lease.count {}", "belongs to hosts"),
        ("orders.placed {}", "no log takes"),
    ] {
        dev.publish(line).await;
        let failed = dev.tells("failed").await;
        assert!(failed["text"].as_str().unwrap().contains(why), "{failed}");
    }
    assert!(dev.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deployed_is_not_run_over() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    app.run(&["deploy", "count"]).await;
    assert!(host.stop().await);
    let (code, said) = dev(&app).ends().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("is deployed in the log of app `files`") && said.contains("--remove"), "{said}");
    // Where it was taken out, what lies here runs.
    app.run(&["deploy", "count", "--remove"]).await;
    let mut dev = dev(&app);
    dev.tells("ready").await;
    assert_eq!(counted(&mut dev).await, 1);
    assert!(dev.stop().await);
}

#[tokio::test]
async fn a_wrong_manifest_at_the_start_is_refused_with_its_lines() {
    let app = App::new(&MANIFEST.replace("key =", "kay =")).await;
    let (code, said) = dev(&app).ends().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("waxwing.toml:9:1:") && said.contains("the manifest has 1 error"), "{said}");
}
