//! Directories that handlers are granted: real modules, and files on the disk.

use std::fs;

use serde_json::{Value, json};

use crate::app::{App, Input};

const MANIFEST: &str = r#"
[app]
name = "filing"
events = ["files.>"]

[handlers.filer]
module = "filer.wasm"
on = ["files.asked"]
retry = { attempts = 1 }
outage = { after = 0 }

[handlers.filer.grants]
emit = ["files.done"]
files = [
    { host = "data/own", guest = "/own", mode = "rw" },
    { host = "./data/shared/", guest = "/shared" },
]

[handlers.none]
module = "filer.wasm"
on = ["files.tried"]

[handlers.none.grants]
emit = ["files.done"]
"#;

fn order(what: &str, path: &str) -> Value {
    json!({ "do": what, "path": path, "line": "more", "to": "x" })
}

/// What came of each order, one after another.
async fn done(app: &App, handler: &str, subject: &str, orders: &[Value]) -> Vec<String> {
    let before = app.result().await.emitted.len();
    for (i, order) in orders.iter().enumerate() {
        let last = app.publish(&[Input::new(subject, format!("{subject}{before}-{i}"), order)]).await;
        app.handled(handler, last).await;
    }
    let emitted = app.result().await.emitted;
    emitted[before..].iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
}

fn lay_out(app: &App) {
    fs::create_dir_all(app.path().join("data/own")).unwrap();
    fs::create_dir_all(app.path().join("data/shared/deep")).unwrap();
    fs::write(app.path().join("data/shared/deep/a"), "shared").unwrap();
    fs::write(app.path().join("secret"), "secret").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_reads_and_writes_what_it_is_granted_and_nothing_else() {
    let app = App::new(MANIFEST).await;
    lay_out(&app);
    std::os::unix::fs::symlink("../../secret", app.path().join("data/own/out")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", app.path().join("data/own/far")).unwrap();
    let host = app.host().await;
    let came = done(
        &app,
        "filer",
        "files.asked",
        &[
            order("append", "/own/log"),
            order("append", "/own/log"),
            order("read", "/own/log"),
            order("read", "/shared/deep/a"),
            order("list", "/shared"),
        ],
    )
    .await;
    assert_eq!(came, ["written", "written", "more\nmore\n", "shared", "deep"]);
    assert_eq!(fs::read_to_string(app.path().join("data/own/log")).unwrap(), "more\nmore\n");

    let refused = [
        order("append", "/shared/b"),
        order("append", "/shared/deep/a"),
        order("read", "/own/../../secret"),
        order("read", "/own/out"),
        order("read", "/own/far"),
        order("append", "/own/out"),
        order("read", "/secret"),
        order("read", "/etc/passwd"),
        json!({ "do": "link", "path": "/own/etc", "to": "/etc" }),
    ];
    let came = done(&app, "filer", "files.asked", &refused).await;
    assert!(came.len() == refused.len() && came.iter().all(|came| came.starts_with("error: ")), "{came:#?}");
    assert_eq!(fs::read_to_string(app.path().join("data/shared/deep/a")).unwrap(), "shared");
    assert_eq!(fs::read_to_string(app.path().join("secret")).unwrap(), "secret");
    assert!(!app.path().join("data/shared/b").exists());

    // Nothing is granted by default.
    let none = [order("read", "/own/log"), order("list", "/"), order("list", ".")];
    let came = done(&app, "none", "files.tried", &none).await;
    assert!(came.len() == 3 && came.iter().all(|came| came.starts_with("error: ")), "{came:?}");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_run_has_written_stays_and_a_replay_writes_nothing() {
    let app = App::new(MANIFEST).await;
    lay_out(&app);
    let host = app.host().await;
    let came = done(&app, "filer", "files.asked", &[order("append-and-fail", "/own/log")]).await;
    assert!(came.is_empty());
    let written = || fs::read_to_string(app.path().join("data/own/log")).unwrap();
    assert_eq!((app.result().await.dead.len(), written().as_str()), (1, "more\n"));
    done(&app, "filer", "files.asked", &[order("append", "/own/log")]).await;
    assert_eq!(written(), "more\nmore\n");
    app.command(&["replay", "filer", "-o", "json"]).output().await.unwrap();
    app.run(&["rebuild", "filer"]).await;
    assert_eq!(written(), "more\nmore\n");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_missing_or_leads_out_is_told_before_anything_runs() {
    let app = App::new(MANIFEST).await;
    let elsewhere = tempfile::TempDir::new().unwrap();
    let refused = async || {
        let output = app.command(&["run"]).output().await.unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = "its directory `data/own` cannot be opened: make it within the manifest's folder";
    let missing = refused().await;
    assert!(missing.contains("handler `filer`") && missing.contains(told), "{missing}");
    lay_out(&app);
    fs::remove_dir(app.path().join("data/own")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), app.path().join("data/own")).unwrap();
    let out = refused().await;
    assert!(out.contains(told), "{out}");
    fs::remove_file(app.path().join("data/own")).unwrap();
    fs::write(app.path().join("data/own"), "a file").unwrap();
    let file = refused().await;
    assert!(file.contains(told), "{file}");
}
