//! The session of a page: an app in a folder of its own, on a server of its own, and the page's commands, one after another.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command as Process},
    sync::mpsc,
};

use super::{
    block::{Block, Hidden, Part},
    command::{self, Command},
    expected,
    page::{Page, root},
    sessions::{is_for_looking, why_not},
};
use crate::{
    app::{self, PATIENCE, module},
    once::target_folder,
    server::TestServer,
};

/// How long a command may take that builds crates and all that they depend on.
const WITH_BUILDS: Duration = Duration::from_secs(900);

/// Runs all commands of a page.
pub(super) async fn run(path: &str) {
    let page = Page::read(path);
    let is_empty =
        page.parts.iter().any(|part| matches!(part, Part::Hidden(hidden) if hidden.argument == "empty"));
    let mut session = Session::start(is_empty).await;
    for part in &page.parts {
        match part {
            Part::Hidden(hidden) if hidden.word == "session" => session.prepare(path, hidden).await,
            Part::Hidden(_) => {}
            Part::Block(block) => session.block(block).await,
        }
    }
    session.end(path).await;
}

struct Session {
    folder: TempDir,
    /// Where commands run: `cd` changes it.
    here: PathBuf,
    server: TestServer,
    hosts: Vec<Background>,
}

/// A command that does not end by itself, such as `waxwing run`.
struct Background {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Session {
    async fn start(is_empty: bool) -> Session {
        let folder = TempDir::new().unwrap();
        if !is_empty {
            let path = folder.path().to_owned();
            tokio::task::spawn_blocking(move || lay_out_shop(&path)).await.unwrap();
        }
        let here = folder.path().to_owned();
        Session { folder, here, server: TestServer::start().await, hosts: Vec::new() }
    }

    async fn prepare(&mut self, path: &str, hidden: &Hidden) {
        for (i, line) in hidden.text.lines().enumerate() {
            let command = Command { line: hidden.line + 1 + i, text: line.to_owned(), expected: None };
            self.command(path, &command, true).await;
        }
    }

    async fn block(&mut self, block: &Block) {
        if let Some(file) = block.value("file") {
            let path = self.here.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &block.text).unwrap();
        }
        if !["sh", "console"].contains(&block.language.as_str()) {
            return;
        }
        let commands = command::of(block);
        for (i, command) in commands.iter().enumerate() {
            if why_not(&block.page, command).is_some() {
                continue;
            }
            let fails = block.is("fails") && i + 1 == commands.len();
            self.command(&block.page, command, !fails).await;
        }
    }

    async fn command(&mut self, page: &str, command: &Command, succeeds: bool) {
        let simple = command::simple(&command.text);
        if let [words] = &simple[..]
            && let [name, folder] = &words[..]
            && name == "cd"
        {
            self.here.push(folder);
            return assert!(self.here.is_dir(), "{page}:{}: there is no {folder}", command.line);
        }
        let is_endless = simple.iter().any(|words| {
            matches!(&words[..], [name, sub, ..] if name == "waxwing" && ["run", "dev"].contains(&sub.as_str()))
        });
        if is_endless {
            return self.background(page, command).await;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let output = self.shell(&command.text).output();
            let output = tokio::time::timeout(WITH_BUILDS, output).await.expect(&command.text).unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let fits = command.expected.as_ref().is_none_or(|expected| expected::fits(expected, &said));
            if fits && output.status.success() == succeeds {
                return;
            }
            // Whoever looks too early looks again; what changes something is done once.
            if Instant::now() > until || !is_for_looking(&simple) {
                let expected = command.expected.as_deref().unwrap_or("anything\n");
                panic!(
                    "{page}:{}: {}\nexpected:\n{expected}\nprinted ({}):\n{said}\nhosts:\n{}",
                    command.line,
                    command.text,
                    output.status,
                    self.hosts.iter_mut().map(Background::so_far).collect::<String>()
                );
            }
        }
    }

    /// Starts a command and waits until it has printed what the page says, or that it is ready.
    async fn background(&mut self, page: &str, command: &Command) {
        // So that the shell is not between: signals reach the program.
        let mut process = self.shell(&format!("exec {}", command.text));
        let mut child = process.stdout(Stdio::piped()).spawn().unwrap();
        let lines = read(child.stdout.take().unwrap());
        let mut host = Background { child, lines, seen: Vec::new() };
        let expected =
            command.expected.clone().filter(|text| !text.is_empty()).unwrap_or("ready\n".to_owned());
        for expected in expected.lines().filter(|line| *line != "...") {
            let found = tokio::time::timeout(WITH_BUILDS, host.line(expected)).await;
            assert!(
                found == Ok(true),
                "{page}:{}: {}\nhas not printed:\n{expected}\nbut:\n{}",
                command.line,
                command.text,
                host.so_far()
            );
        }
        self.hosts.push(host);
    }

    /// A command of the session, both of its outputs in one.
    fn shell(&self, text: &str) -> Process {
        let mut process = Process::new("sh");
        process.args(["-c", &format!("exec 2>&1\n{text}")]).current_dir(&self.here).kill_on_drop(true);
        app::without_settings(process.as_std_mut());
        let program = Path::new(env!("CARGO_BIN_EXE_waxwing")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths([program].into_iter().chain(std::env::split_paths(&path))).unwrap();
        process
            .env("PATH", path)
            .env("NATS_URL", self.server.process.url())
            .env("XDG_CONFIG_HOME", self.folder.path())
            .env("CARGO_TARGET_DIR", target_folder())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        process
    }

    /// Ends what still runs, in good order.
    async fn end(mut self, page: &str) {
        for host in &mut self.hosts {
            let id =
                host.child.id().unwrap_or_else(|| panic!("{page}: a host has ended:\n{}", host.so_far()));
            let killed = Process::new("kill").arg(id.to_string()).status().await.unwrap();
            assert!(killed.success());
            let ended = tokio::time::timeout(PATIENCE, host.child.wait()).await.unwrap().unwrap();
            assert!(ended.success(), "{page}: {ended}:\n{}", host.so_far());
        }
    }
}

impl Background {
    /// Waits for a line that is what another says; false where the output ends without it.
    async fn line(&mut self, expected: &str) -> bool {
        while let Some(line) = self.lines.recv().await {
            self.seen.push(line);
            if self.seen.last().is_some_and(|line| expected::line_fits(expected, line.trim_end())) {
                return true;
            }
        }
        false
    }

    fn so_far(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line);
        }
        self.seen.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

/// Reads lines on, so that nobody who writes ever waits.
fn read(from: impl AsyncRead + Unpin + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The shop's manifest, and its modules beside it, so that no session builds them anew.
fn lay_out_shop(folder: &Path) {
    let manifest = fs::read_to_string(root().join("handlers/waxwing.toml")).unwrap();
    let mut text = String::new();
    for line in manifest.lines() {
        match line.strip_prefix("module = \"").and_then(|rest| rest.strip_suffix('"')) {
            Some(name) => {
                let file: PathBuf = folder.join(format!("{name}.wasm"));
                fs::copy(module(name), file).unwrap();
                text.push_str(&format!("module = \"{name}.wasm\"\n"));
            }
            None => text.extend([line, "\n"]),
        }
    }
    fs::write(folder.join("waxwing.toml"), text).unwrap();
}
