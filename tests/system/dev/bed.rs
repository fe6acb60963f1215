//! A running `waxwing dev`, and what it tells as JSON.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::app::PATIENCE;

/// How long a build from nothing may take, beside others.
const BUILDS: Duration = PATIENCE.saturating_mul(4);

/// A running `waxwing dev`; killed when dropped.
pub struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    input: ChildStdin,
    log: PathBuf,
    told: Vec<Value>,
}

impl Dev {
    /// Starts it by this command; what it says beside its JSON goes to the file.
    pub fn start(mut command: Command, log: PathBuf) -> Dev {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        command.args(["--output", "json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let input = child.stdin.take().unwrap();
        Dev { child, lines, input, log, told: Vec::new() }
    }

    /// The next thing of this kind that it tells.
    pub async fn tells(&mut self, what: &str) -> Value {
        self.tells_where(what, |_| true).await
    }

    /// The next thing of this kind for which that holds.
    pub async fn tells_where(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.tells_that(what, |told| told["what"] == what && holds(told)).await
    }

    /// The next thing of one of these kinds.
    pub async fn tells_any(&mut self, what: &[&str]) -> Value {
        self.tells_that(&what.join(" or "), |told| what.contains(&told["what"].as_str().unwrap())).await
    }

    async fn tells_that(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let Some(line) = line else { break None };
                let told: Value = serde_json::from_str(&line).unwrap();
                self.told.push(told.clone());
                if holds(&told) {
                    break Some(told);
                }
            }
        };
        let told = tokio::time::timeout(BUILDS, wait).await;
        match told {
            Ok(Some(told)) => told,
            _ => panic!("nothing is told of {what}: {:#?}\n{}", self.told, self.log()),
        }
    }

    /// All that it has told so far.
    pub fn told(&self) -> &[Value] {
        &self.told
    }

    /// What it has said beside.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Publishes an event by its standard input.
    pub async fn publish(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Ends it by SIGTERM; true where it ended well.
    pub async fn stop(mut self) -> bool {
        let kill = format!("kill -TERM {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
        let ended = async {
            // It must not wait for somebody to read what it says.
            while let Ok(Some(_)) = self.lines.next_line().await {}
            self.child.wait().await.unwrap().success()
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.unwrap_or_else(|_| panic!("it does not end: {:#?}\n{}", self.told, self.log()))
    }

    /// Kills it with SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Its end, where it ends by itself.
    pub async fn ends(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        (status.code(), self.log())
    }
}
