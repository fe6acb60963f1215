//! The command line as people meet it: help, exit codes, and one app from `run` to `dead show`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{app, server::TestServer};

/// A folder with a manifest, and the program run in it with nothing of this machine's settings.
struct App {
    folder: TempDir,
}

impl App {
    fn new(manifest: &str) -> App {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("waxwing.toml"), manifest).unwrap();
        App { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.current_dir(self.path()).args(arguments).stdin(Stdio::null());
        app::without_settings(&mut command);
        command.env("XDG_CONFIG_HOME", self.path()).env("NO_COLOR", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

/// The ways to all commands below one.
fn below(command: &clap::Command, way: &[String], found: &mut Vec<Vec<String>>) {
    for inner in command.get_subcommands() {
        let way = [way, &[inner.get_name().to_owned()]].concat();
        found.push(way.clone());
        below(inner, &way, found);
    }
}

#[test]
fn every_command_has_help() {
    let app = App::new("");
    let mut commands = vec![Vec::new()];
    below(&waxwing::cli::command(), &[], &mut commands);
    for command in commands {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let output = app.run(&[&command[..], &["--help"]].concat());
        assert!(output.status.success());
        insta::assert_snapshot!(
            ["help", &command.join("_")].join("_").trim_end_matches('_'),
            text(&output.stdout)
        );
    }
}

#[test]
fn exit_codes_tell_wrong_usage_from_failure() {
    let app = App::new("[app]\nname = \"shop\"\n");
    assert_eq!(app.run(&["launch"]).status.code(), Some(2));
    assert_eq!(app.run(&["emit", "a.*", "{}"]).status.code(), Some(2));
    let which = app.run(&["outbox", "redrive", "basket"]);
    assert_eq!(which.status.code(), Some(2));
    assert!(text(&which.stderr).contains("<ID|--all>"), "{which:?}");
    let refused = app.run(&["check"]);
    assert_eq!(refused.status.code(), Some(1));
    insta::assert_snapshot!(text(&refused.stderr), @r#"
    error: waxwing.toml: there are no handlers: add `[handlers.NAME]` with `on` and `module`
    error: waxwing.toml:1:2: [app] has no `events`: add `events = ["orders.>"]`
    error: the manifest has 2 errors
    "#);
}

#[test]
fn says_how_to_go_on_where_nothing_is_there() {
    let app = App::new("");
    fs::remove_file(app.path().join("waxwing.toml")).unwrap();
    let said = |arguments: &[&str]| text(&app.run(arguments).stderr);
    insta::assert_snapshot!(
        said(&["check"]),
        @"error: there is no waxwing.toml here or in a folder above: go to your app's folder, or name it with --manifest"
    );
    insta::assert_snapshot!(
        said(&["emit", "a.b", "--context", "x"]),
        @"error: there is no context `x`: list them with `nats context ls`"
    );
    // What the system says of a refused connection differs.
    let unreachable = said(&["emit", "a.b", "--server", "nats://127.0.0.1:1"]);
    assert!(
        unreachable.starts_with("error: no NATS server answers at nats://127.0.0.1:1: start one with"),
        "{unreachable}"
    );
}

const HANDLER: &str = "\
[app]
name = \"one\"
events = [\"a.>\"]

[handlers.one]
module = \"one.wasm\"
on = [\"a.b\"]
";

#[test]
fn check_says_what_is_wrong_with_a_module() {
    let app = App::new(HANDLER);
    fs::write(app.path().join("one.wasm"), "no module").unwrap();
    let output = app.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(
        text(&output.stdout),
        @"✗ one  one.wasm: it is not WebAssembly: name the .wasm file that the build has made"
    );
    fs::write(app.path().join("one.wasm"), b"\0asm\x01\0\0\0").unwrap();
    insta::assert_snapshot!(
        text(&app.run(&["check"]).stdout),
        @"✗ one  one.wasm: it is a core module: build it with --target wasm32-wasip2"
    );
    let json: serde_json::Value = serde_json::from_slice(&app.run(&["check", "-o", "json"]).stdout).unwrap();
    assert_eq!(json[0]["handler"], "one");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let app = App::new(HANDLER);
    fs::write(app.path().join("one.wasm"), b"\0asm\x01\0\0\0").unwrap();
    for format in ["text", "json"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = app.command(&["check", "--output", format]).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        insta::allow_duplicates! {
            insta::assert_snapshot!(
                text(&output.stderr),
                @"error: standard output cannot be written: No space left on device (os error 28)"
            );
        }
    }
    // Whoever reads no more has enough.
    let mut check = app.command(&["check"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(check.stdout.take());
    let output = check.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
}

/// A running host; killed when dropped.
struct Host(Child);

impl Host {
    /// Starts `waxwing run` and waits until it reads.
    fn start(app: &App, url: &str) -> Host {
        let mut command = app.command(&["run", "--server", url]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let host = Host(child);
        assert!(BufReader::new(stdout).lines().any(|line| line.unwrap() == "ready"));
        host
    }

    #[cfg(unix)]
    fn terminate(mut self) -> ExitStatus {
        let signalled = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(signalled.success());
        self.0.wait().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn catalog() -> App {
    let crate_folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers/catalog");
    let built = waxwing::module::build(std::slice::from_ref(&crate_folder)).unwrap();
    let app = App::new(
        r#"
        [app]
        name = "shop"
        events = ["catalog.>", "prices.>"]
        [handlers.catalog]
        module = "catalog.wasm"
        on = ["catalog.change-price"]
        key = "data.productId"
        [handlers.catalog.grants]
        emit = ["prices.updated"]
        "#,
    );
    fs::copy(&built[&crate_folder], app.path().join("catalog.wasm")).unwrap();
    app
}

/// Runs a command until it succeeds, as a person would who looks again.
fn eventually(app: &App, arguments: &[&str]) -> Output {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let output = app.run(arguments);
        if output.status.success() || Instant::now() > until {
            return output;
        }
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_app_runs_and_can_be_looked_into() {
    let server = TestServer::start().await;
    let url = server.process.url();
    tokio::task::spawn_blocking(move || walk_through(&url)).await.unwrap();
}

#[cfg(unix)]
fn walk_through(url: &str) {
    let app = catalog();
    let no_log = app.run(&["state", "ls", "catalog", "-s", url]);
    assert!(text(&no_log.stderr).contains("app `shop` has no log `wx-shop`"), "{no_log:?}");
    let host = Host::start(&app, url);

    let good = r#"{"productId":"tea","newPrice":3.2}"#;
    let emitted = app.run(&["emit", "catalog.change-price", good, "-s", url, "-o", "json"]);
    let emitted: serde_json::Value = serde_json::from_slice(&emitted.stdout).unwrap();
    assert_eq!(emitted[0]["stream"], "wx-shop");
    let state = eventually(&app, &["state", "get", "catalog", "tea", "-s", url]);
    assert_eq!(text(&state.stdout), r#"{"amount":3.2,"currency":"EUR"}"#);
    let keys = app.run(&["state", "ls", "catalog", "te", "--app", "shop", "-s", url, "-o", "json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&keys.stdout).unwrap()[0]["key"], "tea");

    let bad = r#"{"productId":"tea","newPrice":-1}"#;
    assert!(app.run(&["emit", "catalog.change-price", bad, "--id", "bad-1", "-s", url]).status.success());
    let shown = eventually(&app, &["dead", "show", "catalog", "bad-1", "-s", url]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("reject: price -1 of product `tea` is not positive"), "{shown}");
    let listed = text(&app.run(&["dead", "ls", "-s", url]).stdout);
    assert!(listed.contains("catalog.change-price"), "{listed}");

    let again = app.run(&["emit", "catalog.change-price", bad, "--id", "bad-1", "-s", url]);
    assert!(text(&again.stderr).contains("already has an event with the id `bad-1`"), "{again:?}");
    let nowhere = app.run(&["emit", "stock.counted", "-s", url]);
    assert!(text(&nowhere.stderr).contains("no log takes `stock.counted`"), "{nowhere:?}");
    assert!(host.terminate().success());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_cannot_run_leaves_no_log_behind() {
    let server = TestServer::start().await;
    let app = App::new(HANDLER);
    fs::write(app.path().join("one.wasm"), "no module").unwrap();
    let url = server.process.url();
    tokio::task::spawn_blocking(move || {
        let refused = app.run(&["run", "-s", &url]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("it is not WebAssembly"), "{refused:?}");
        let looked = app.run(&["state", "ls", "one", "-s", &url]);
        assert!(text(&looked.stderr).contains("app `one` has no log `wx-one`"), "{looked:?}");
    })
    .await
    .unwrap();
}
