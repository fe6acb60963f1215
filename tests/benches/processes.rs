//! Hosts as processes of their own: `waxwing run`, and other commands beside it.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::server::TestServer;

/// The program with these arguments, for an app's folder.
pub fn command(folder: &Path, server: &TestServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.args(arguments).args(["--server", &server.process.url()]).current_dir(folder);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Starts a host; gives the time until it says that it is ready.
pub async fn start(folder: &Path, server: &TestServer) -> (Child, Duration) {
    start_with(folder, server, &[], &[]).await
}

/// The same with these arguments and variables.
pub async fn start_with(
    folder: &Path,
    server: &TestServer,
    arguments: &[String],
    variables: &[(&str, &str)],
) -> (Child, Duration) {
    let started = Instant::now();
    let mut command = command(folder, server, &["run"]);
    command.args(arguments).envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next_line().await.unwrap().expect("the host says that it is ready") != "ready" {}
    (child, started.elapsed())
}

/// Sends a signal by its name, such as `TERM`.
pub async fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id().unwrap());
    assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
}

/// Runs a command that must succeed.
pub async fn run(folder: &Path, server: &TestServer, arguments: &[&str]) {
    succeeded(command(folder, server, arguments)).await;
}

/// What a command that must succeed has printed.
pub async fn succeeded(mut command: Command) -> Output {
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
