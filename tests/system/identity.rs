//! Two hosts that believe to be the same one.

use std::{path::Path, process::Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::app::{self, App, Input};

const COUNTER: &str = r#"
[app]
name = "twins"
events = ["in.>", "counter.>"]

[handlers.both]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.both.grants]
emit = ["counter.counted"]
"#;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn inputs(from: u64) -> Vec<Input> {
    let input =
        |n: u64| Input::new("in.item", format!("in-{n}"), &json!({ "key": format!("k{}", n % 7), "n": n }));
    (from..from + 200).map(input).collect()
}

/// As when a folder is copied with all that is in it, and both run under one machine name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_of_one_identity_double_nothing() {
    let app = App::new(COUNTER).await;
    assert!(app.host().await.stop().await);
    let folder = TempDir::new().unwrap();
    copy(app.path(), folder.path());
    let id = |folder: &Path| std::fs::read_to_string(folder.join(".waxwing/hosts/0")).unwrap();
    assert_eq!(id(app.path()), id(folder.path()));

    let log = folder.path().join("host.log");
    let stderr = std::fs::File::create(&log).unwrap();
    let mut run = app.command(&["run"]);
    run.current_dir(folder.path()).stdout(Stdio::null()).stderr(stderr);
    let host = app.host().await;
    let mut twin = run.spawn().unwrap();
    let mut all = Vec::new();
    for round in 0..20 {
        let burst = inputs(round * 200);
        let last = app.publish(&burst).await;
        all.extend(burst);
        app.handled("both", last).await;
    }
    twin.kill().await.unwrap();
    assert!(host.stop().await);
    let logs = app.host_log() + &std::fs::read_to_string(log).unwrap();
    assert!(logs.contains("interrupted"), "they take the lease from each other:\n{logs}");
    app.result().await.assert_same(&app::undisturbed(COUNTER, &["both"], &all).await);
}
