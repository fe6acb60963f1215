//! `waxwing new`: what it makes builds, passes its tests, and runs. One app with a handler of each template stands for all.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use async_nats::jetstream;
use futures::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::OnceCell,
    time::timeout,
};

use crate::{app::PATIENCE, once::target_folder, server::TestServer};

/// The templates, each with the name of a handler.
const HANDLERS: [(&str, &str); 5] = [
    ("handler", "greeter"),
    ("aggregate", "account"),
    ("projection", "sales"),
    ("saga", "trip"),
    ("query", "price-list"),
];

fn waxwing(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1").stdin(Stdio::null());
    // What the repository's handlers are built of is built there already.
    command.env("CARGO_TARGET_DIR", target_folder());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    waxwing(folder, arguments).output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An app with a handler of each template, made once.
async fn made() -> &'static Path {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();
    MADE.get_or_init(async || tokio::task::spawn_blocking(make).await.unwrap()).await
}

fn make() -> PathBuf {
    let folder = target_folder().join("made");
    // What an earlier test has made.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    done(&folder, &["new", "bazaar"]);
    let app = folder.join("bazaar");
    for (template, name) in &HANDLERS[1..] {
        done(&app, &["new", name, "--template", template]);
    }
    // The versions that the repository builds with.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::copy(lock, app.join("Cargo.lock")).unwrap();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn every_template_builds_and_passes_its_tests() {
    let app = made().await;
    tokio::task::spawn_blocking(move || {
        let report: Value = serde_json::from_str(&done(app, &["test", "-o", "json"])).unwrap();
        let tested = report["crates"].as_array().unwrap();
        let passed = |name: &str| {
            tested.iter().any(|tested| {
                tested["handler"] == name && tested["passed"] == true && tested["runs"].as_u64().unwrap() > 1
            })
        };
        assert!(HANDLERS.iter().all(|(_, name)| passed(name)), "{tested:?}");
        let checked = run(app, &["check"]);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && !said.contains("warning"), "{said}");
        // As one's own editor would have it.
        let formatted =
            Command::new("cargo").current_dir(app).args(["fmt", "--all", "--check"]).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stdout));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_app_runs() {
    let (app, server) = (made().await, TestServer::start().await);
    let url = server.process.url();
    let client = async_nats::connect(&url).await.unwrap();
    let mut greeted = client.subscribe("greeter.greeted").await.unwrap();
    client.flush().await.unwrap();
    let mut command = tokio::process::Command::from(waxwing(app, &["run", "-s", &url]));
    let mut host = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let ready = async { while lines.next_line().await.unwrap().expect("the host runs") != "ready" {} };
    timeout(PATIENCE.saturating_mul(4), ready).await.expect("the host becomes ready");
    let _lines = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });

    let told = url.clone();
    let emit = move || done(app, &["emit", "greeter.greet", r#"{"guest":"Ada"}"#, "-s", &told]);
    tokio::task::spawn_blocking(emit).await.unwrap();
    let message = timeout(PATIENCE, greeted.next()).await.expect("an effect in time").unwrap();
    let data: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(data, json!({ "guest": "Ada", "text": "Hello, Ada!", "visits": 1 }));
    let state = move || done(app, &["state", "get", "greeter", "Ada", "-s", &url]);
    assert_eq!(tokio::task::spawn_blocking(state).await.unwrap(), "1");
    // A projection of the same app is there for others.
    let bucket = jetstream::new(client).get_key_value("bazaar-sales").await;
    assert!(bucket.is_ok(), "{bucket:?}");
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let told: Value = serde_json::from_str(&done(folder.path(), &["new", "shop", "-o", "json"])).unwrap();
    assert_eq!(
        (&told["app"], &told["handler"], &told["template"]),
        (&json!("shop"), &json!("greeter"), &json!("handler"))
    );
    let files: Vec<&str> = told["made"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        files.contains(&"shop/waxwing.toml") && files.contains(&"shop/handlers/greeter/src/lib.rs"),
        "{files:?}"
    );
    let manifest = fs::read_to_string(folder.path().join("shop/waxwing.toml")).unwrap();

    let refused = |folder: &Path, arguments: &[&str], code, why: &str| {
        let output = run(folder, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(why), "{said}");
    };
    let app = folder.path().join("shop");
    refused(folder.path(), &["new", "shop"], 1, "shop is there already: choose another name");
    refused(&app, &["new", "greeter"], 1, "the app has a handler `greeter` already");
    fs::create_dir_all(app.join("handlers/taken")).unwrap();
    refused(&app, &["new", "taken"], 1, "taken is there already");
    refused(&app, &["new", "wx"], 1, "belongs to the host");
    refused(folder.path(), &["new", "Shop"], 2, "must not contain `S`");
    refused(folder.path(), &["new", "2nd"], 2, "begins with no letter");
    refused(folder.path(), &["new", "more", "--sdk", "."], 1, "there is no waxwing-sdk at .");
    assert_eq!(fs::read_to_string(app.join("waxwing.toml")).unwrap(), manifest);
    assert!(!folder.path().join("more").exists());
}

#[test]
fn an_app_can_use_the_sdk_of_a_checkout() {
    let folder = TempDir::new().unwrap();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    done(folder.path(), &["new", "shop", "--template", "query", "--sdk", checkout.to_str().unwrap()]);
    let app = folder.path().join("shop");
    let workspace: toml::Table = fs::read_to_string(app.join("Cargo.toml")).unwrap().parse().unwrap();
    let sdk = workspace["workspace"]["dependencies"]["waxwing-sdk"]["path"].as_str().unwrap();
    assert_eq!(fs::canonicalize(sdk).unwrap(), fs::canonicalize(checkout.join("guest-sdk")).unwrap());
    assert!(!app.join("vendor").exists());
}
