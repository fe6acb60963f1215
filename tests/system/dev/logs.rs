//! Where the log is: in memory, on a server of its own, on one that is there.

use std::{fs, net::TcpStream, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::bed::Dev;
use crate::{
    app::{self, module},
    server,
};

const MANIFEST: &str = r#"
[app]
name = "where"
events = ["counter.>"]

[handlers.count]
module = "counter.wasm"
on = ["counter.add"]
key = "data.key"

[handlers.count.grants]
emit = ["counter.counted"]
"#;

/// A folder with an app, and nothing else than these folders on the path.
struct Place {
    folder: TempDir,
    path: String,
}

impl Place {
    fn new(path: &[&Path]) -> Place {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("waxwing.toml"), MANIFEST).unwrap();
        fs::copy(module("counter"), folder.path().join("counter.wasm")).unwrap();
        let path = std::env::join_paths(path).unwrap().into_string().unwrap();
        Place { folder, path }
    }

    fn dev(&self, arguments: &[&str]) -> Dev {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.current_dir(self.folder.path()).arg("dev").args(arguments).arg("--verbose");
        app::without_settings(command.as_std_mut());
        command.env("XDG_CONFIG_HOME", self.folder.path()).env("PATH", &self.path).env("NO_COLOR", "1");
        Dev::start(command, self.folder.path().join("dev.log"))
    }
}

/// Waits until it is ready, has an event counted, and gives the count.
async fn counts(dev: &mut Dev) -> Value {
    dev.tells("ready").await;
    dev.publish(r#"counter.add {"key":"k","n":1}"#).await;
    dev.tells("event").await["emits"][0]["data"]["count"].clone()
}

/// What is said of the log where no server is chosen: one on the default port of this machine goes before all else.
fn or_there(on: &'static str) -> &'static str {
    if TcpStream::connect("127.0.0.1:4222").is_ok() { "server" } else { on }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_the_log_is_in_memory_and_says_so() {
    let place = Place::new(&[]);
    let mut dev = place.dev(&["--memory"]);
    let log = dev.tells("log").await;
    assert_eq!(log["on"], "memory");
    assert_eq!(log["text"], "The log is in memory, as you asked.");
    assert_eq!(counts(&mut dev).await, 1);
    assert!(dev.stop().await);
    let mut dev = place.dev(&[]);
    let log = dev.tells("log").await;
    assert_eq!(log["on"], or_there("memory"));
    assert!(dev.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_its_own_keeps_the_state_for_the_next_time() {
    let place = Place::new(&[server::binary().await.parent().unwrap()]);
    for count in 1..=2 {
        let mut dev = place.dev(&[]);
        let log = dev.tells("log").await;
        assert_eq!(log["on"], or_there("own-server"), "{log}");
        assert_eq!(counts(&mut dev).await, count);
        assert!(dev.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_has_the_store_and_what_a_killed_one_has_left_is_stopped() {
    let place = Place::new(&[server::binary().await.parent().unwrap()]);
    let mut dev = place.dev(&[]);
    let log = dev.tells("log").await;
    if log["on"] == "server" {
        // One on the default port of this machine.
        return;
    }
    assert_eq!(counts(&mut dev).await, 1);
    let (code, said) = place.dev(&[]).ends().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("another process has the server of .waxwing/dev"), "{said}");
    dev.kill().await;
    let left = log["server"].as_str().unwrap();
    assert!(async_nats::connect(left).await.is_ok(), "it was not left running");
    let mut dev = place.dev(&[]);
    assert_ne!(dev.tells("log").await["server"], left);
    assert!(async_nats::connect(left).await.is_err(), "it still runs");
    assert_eq!(counts(&mut dev).await, 2);
    assert!(dev.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_old_is_named_and_the_next_is_taken() {
    let old = TempDir::new().unwrap();
    let program = old.path().join("nats-server");
    fs::write(&program, "#!/bin/sh\necho 'nats-server: v2.9.10'\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let server = server::binary().await.parent().unwrap();
    for (path, on) in [(vec![old.path()], "memory"), (vec![old.path(), server], "own-server")] {
        let place = Place::new(&path);
        let mut dev = place.dev(&[]);
        let log = dev.tells("log").await;
        assert_eq!(log["on"], or_there(on), "{log}");
        let is_said = dev.log().contains("is nats-server 2.9.10, and 2.12.1 or newer is needed");
        assert!(is_said || log["on"] == "server", "{}", dev.log());
        assert!(dev.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_chosen_and_is_not_there_is_an_error() {
    let place = Place::new(&[]);
    let (code, said) = place.dev(&["--server", "nats://127.0.0.1:1"]).ends().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("no NATS server answers at nats://127.0.0.1:1"), "{said}");
}
