//! An app on a real server, its hosts as processes, and what came of its events.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use waxwing_engine::{
    entry::{Checkpoint, DeadLetter, Layout, dead, state},
    generations,
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::{Event, Headers, Pattern, Position, Subject, decode};
use waxwing_log::{
    JetStreamLog,
    jetstream::{self, Server},
};

use crate::{
    processor,
    scripts::{JAVASCRIPT, PYTHON},
    server::TestServer,
};

/// How long anything may take that is waited for; a test that needs it all has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Makes a host one that takes up only what no other can run.
pub const STANDBY: [(&str, &str); 1] = [("WAXWING_HOST_STANDBY", "true")];

/// Takes this machine's settings of NATS and of Waxwing from a command.
pub fn without_settings(command: &mut std::process::Command) {
    for (name, _) in std::env::vars() {
        if ["NATS_", "WAXWING_", "OTEL_"].iter().any(|own| name.starts_with(own)) || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
}

/// The `.wasm` of a crate, named by its folder's last part; all of them are built by the first who asks. Those in other
/// languages are built one by one.
pub fn module(name: &str) -> PathBuf {
    if let Some(script) = [JAVASCRIPT, PYTHON].into_iter().find(|script| script.name == name) {
        return script.module();
    }
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folders = ["handlers", "tests/guests"].map(|folder| root.join(folder).read_dir().unwrap());
        let crates: Vec<PathBuf> = folders
            .into_iter()
            .flatten()
            .map(|found| found.unwrap().path())
            .filter(|folder| folder.join("Cargo.toml").exists())
            .collect();
        let named = |(folder, wasm): (PathBuf, PathBuf)| {
            (folder.file_name().unwrap().to_str().unwrap().to_owned(), wasm)
        };
        waxwing::module::build(&crates).unwrap().into_iter().map(named).collect()
    });
    built[name].clone()
}

/// An input: subject, id and data.
#[derive(Debug, Clone)]
pub struct Input {
    pub subject: String,
    pub id: String,
    pub data: Bytes,
}

impl Input {
    pub fn new(subject: &str, id: impl Into<String>, data: &serde_json::Value) -> Input {
        Input { subject: subject.to_owned(), id: id.into(), data: data.to_string().into() }
    }

    /// The input's headers, as CloudEvents in binary mode.
    pub fn headers(&self) -> Headers {
        [
            ("ce-specversion", "1.0"),
            ("ce-id", self.id.as_str()),
            ("ce-source", "/test"),
            ("ce-type", self.subject.as_str()),
            ("ce-datacontenttype", "application/json"),
        ]
        .into_iter()
        .collect()
    }
}

/// Writes the manifest to the folder and puts each module that it names as `NAME.wasm` beside it.
fn lay_out(folder: &Path, manifest: &str) -> PathBuf {
    let path = folder.join("waxwing.toml");
    std::fs::write(&path, manifest).unwrap();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix("module = \"").and_then(|rest| rest.strip_suffix(".wasm\"")) {
            std::fs::copy(module(name), folder.join(format!("{name}.wasm"))).unwrap();
        }
    }
    path
}

/// What keeps an app's log.
pub trait Backing {
    /// Where tests find it.
    fn address(&self) -> Server;

    /// Where hosts find it.
    fn url_for_hosts(&self) -> String {
        self.address().urls.join(",")
    }
}

impl Backing for TestServer {
    fn address(&self) -> Server {
        TestServer::address(self)
    }
}

/// An app in a folder of its own, on a server of its own.
pub struct App<B = TestServer> {
    folder: TempDir,
    pub server: B,
    pub layout: Layout,
}

impl App {
    /// An app with this manifest. Each module it names as `NAME.wasm` is put beside it.
    pub async fn new(manifest: &str) -> App {
        App::on(TestServer::start().await, manifest)
    }
}

impl<B: Backing> App<B> {
    /// An app whose log is kept there.
    pub fn on(server: B, manifest: &str) -> App<B> {
        let folder = TempDir::new().unwrap();
        lay_out(folder.path(), manifest);
        let name =
            manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).unwrap();
        let layout = Layout::new(name.parse().unwrap());
        App { folder, server, layout }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program with these arguments, in this app's folder, without this machine's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.current_dir(self.path()).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        without_settings(command.as_std_mut());
        command
            .env("XDG_CONFIG_HOME", self.path())
            .env("NATS_URL", self.server.url_for_hosts())
            .env("NO_COLOR", "1");
        command
    }

    /// What a command prints when it succeeds.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a host and does not wait for it.
    pub fn launch(&self) -> HostProcess {
        self.launch_at(&self.server.url_for_hosts())
    }

    /// Starts a host that finds NATS at `url`, and does not wait for it.
    pub fn launch_at(&self, url: &str) -> HostProcess {
        self.launch_with(&[], &[("NATS_URL", url)])
    }

    /// Starts a host with these arguments and variables, and does not wait for it.
    pub fn launch_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> HostProcess {
        let mut command = self.command(&["run"]);
        command.args(arguments).envs(variables.iter().copied());
        self.launch_by(command)
    }

    /// Starts a host by this command, and does not wait for it.
    pub fn launch_by(&self, mut command: Command) -> HostProcess {
        let log = self.path().join("host.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        HostProcess { child, log, lines: Some(lines) }
    }

    /// Starts a host and waits until it is ready.
    pub async fn host(&self) -> HostProcess {
        let mut host = self.launch();
        host.ready().await;
        host
    }

    /// Starts a host that takes up only what no other can run, and waits until it is ready.
    pub async fn standby(&self) -> HostProcess {
        let mut host = self.launch_with(&[], &STANDBY);
        host.ready().await;
        host
    }

    /// What all hosts so far have logged.
    pub fn host_log(&self) -> String {
        std::fs::read_to_string(self.path().join("host.log")).unwrap_or_default()
    }

    pub async fn client(&self) -> async_nats::Client {
        let Server { urls, user, .. } = self.server.address();
        let options = async_nats::ConnectOptions::new();
        let options = match user {
            Some((user, password)) => options.user_and_password(user, password),
            None => options,
        };
        options.connect(urls).await.unwrap()
    }

    /// The app's log; there must have been a host, or the manifest's subjects are not known to the server.
    pub async fn log(&self) -> JetStreamLog {
        let context = async_nats::jetstream::new(self.client().await);
        let stream = context.get_stream(self.layout.stream()).await.unwrap();
        let own = self.layout.everything();
        let events =
            stream.cached_info().config.subjects.iter().filter(|subject| subject.as_str() != own.as_str());
        let events = events.map(|subject| subject.parse().unwrap()).collect();
        let options = jetstream::Options::new(self.layout.app().clone(), events);
        JetStreamLog::open(&self.server.address(), &options).await.unwrap()
    }

    /// Publishes inputs in their order, many at a time, each acknowledged; gives the last one's position.
    pub async fn publish(&self, inputs: &[Input]) -> Position {
        let context = async_nats::jetstream::new(self.client().await);
        let mut last = 0;
        for chunk in inputs.chunks(500) {
            let mut acks = Vec::new();
            for input in chunk {
                let mut headers = async_nats::HeaderMap::new();
                input.headers().iter().for_each(|(name, value)| headers.insert(name, value));
                let sent = context.publish_with_headers(input.subject.clone(), headers, input.data.clone());
                acks.push(sent.await.unwrap());
            }
            for ack in acks {
                last = ack.await.unwrap().sequence;
            }
        }
        Position(last)
    }

    /// Waits until the handler has handled everything up to `position`.
    pub async fn handled(&self, handler: &str, position: Position) {
        let log = self.log().await;
        let (layout, name) = (&self.layout, handler);
        let waited = tokio::time::timeout(PATIENCE, handled(&log, layout, name, position)).await;
        assert!(waited.is_ok(), "`{handler}` has not handled {position}:\n{}", self.host_log());
    }

    /// What came of the app's events.
    pub async fn result(&self) -> Outcome {
        Outcome::of(&self.log().await, &self.layout).await
    }
}

/// Waits until the checkpoints of all partitions of `handler` are at or above `position`.
pub async fn handled(log: &dyn Log, layout: &Layout, handler: &str, position: Position) {
    let handler = handler.parse().unwrap();
    let subjects: Pattern = format!("wx.{}.checkpoint.{handler}.*", layout.app()).parse().unwrap();
    let mut reader = log.read(Position(1), &[subjects], Part::Whole).await.unwrap();
    let mut reached = BTreeSet::new();
    loop {
        for entry in reader.next(100).await.unwrap() {
            if Checkpoint::read(&entry).unwrap().watermark >= position {
                reached.insert(entry.subject);
            }
        }
        let live = generations::live(log, layout, &handler).await.unwrap();
        let mut subjects = live.partitions(&handler).map(|partition| layout.checkpoint(&handler, partition));
        if subjects.all(|subject| reached.contains(&subject)) {
            return;
        }
    }
}

/// Everything that stands in a log now.
pub async fn entries(log: &dyn Log) -> Vec<Entry> {
    let last = log.bounds().await.unwrap().last;
    let mut reader = log.read(Position(1), &[], Part::Whole).await.unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    while entries.last().map_or(Position::NONE, |entry| entry.position) < last {
        match tokio::time::timeout(Duration::from_secs(3), reader.next(1000)).await {
            Ok(read) => entries.extend(read.unwrap()),
            // The last of them have gone by their TTL.
            Err(_) => break,
        }
    }
    entries
}

/// A host, killed when dropped.
pub struct HostProcess {
    child: Child,
    log: PathBuf,
    lines: Option<BufReader<tokio::process::ChildStdout>>,
}

impl HostProcess {
    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) {
        let mut lines = self.lines.take().unwrap().lines();
        let wait = async {
            loop {
                match lines.next_line().await.unwrap() {
                    Some(line) if line == "ready" => return,
                    Some(_) => {}
                    None => {
                        let status = self.child.wait().await.unwrap();
                        panic!(
                            "the host has ended, {status}:\n{}",
                            std::fs::read_to_string(&self.log).unwrap()
                        )
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
        self.lines = Some(lines.into_inner());
    }

    /// Sends a signal by its name, such as `STOP`.
    pub async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// Kills it with SIGKILL and waits for its end.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Stops it with SIGTERM; true where it ended well.
    pub async fn stop(self) -> bool {
        self.signal("TERM").await;
        self.ended().await
    }

    /// Waits for its end; true where it ended well.
    pub async fn ended(mut self) -> bool {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success()
    }

    /// Processor time that it has used.
    pub fn cpu(&self) -> Duration {
        processor::used(self.child.id().unwrap())
    }

    /// Bytes of memory that it holds now.
    pub fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The most bytes of memory that it has held.
    pub fn peak_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    fn memory_bytes(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }
}

/// What came of an app's events: everything that handlers have written.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Emitted events in the order of the log.
    pub emitted: Vec<Event>,
    /// State by handler and key.
    pub state: BTreeMap<(String, String), Bytes>,
    /// Dead letters in the order of the log.
    pub dead: Vec<DeadLetter>,
}

impl Outcome {
    pub async fn of(log: &dyn Log, layout: &Layout) -> Outcome {
        let mut outcome = Outcome::default();
        entries(log).await.into_iter().for_each(|entry| outcome.take(layout, entry));
        outcome
    }

    fn take(&mut self, layout: &Layout, entry: Entry) {
        let tokens: Vec<String> = entry.subject.tokens().map(str::to_owned).collect();
        if entry.headers.get(dead::HEADER).is_some() {
            self.dead.push(DeadLetter::read(entry).unwrap());
        } else if tokens[0] == "wx" && tokens[2] == "state" {
            // Of another generation is nobody's state.
            let Some(handler) = layout.handler_of(&entry.subject) else { return };
            let key = layout.state_key(&handler, &entry.subject).unwrap();
            match state::value(entry) {
                Some(value) => self.state.insert((handler.to_string(), key), value),
                None => self.state.remove(&(handler.to_string(), key)),
            };
        } else if entry.headers.get("wx-mark").is_some() && tokens[0] != "wx" {
            let event =
                decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload).unwrap();
            self.emitted.push(event);
        }
    }

    /// Emitted events as a multiset that does not depend on positions: subject, cause and data.
    pub fn multiset(&self) -> Vec<(Subject, Option<String>, Bytes)> {
        let mut all: Vec<_> = self
            .emitted
            .iter()
            .map(|e| (e.subject.clone(), e.causation_id.clone(), e.data.clone()))
            .collect();
        all.sort();
        all
    }

    /// Asserts that both have the same dead letters, states and outputs.
    pub fn assert_same(&self, other: &Outcome) {
        let reason = |outcome: &Outcome| outcome.dead.first().map(|letter| letter.about.clone());
        let dead = |outcome: &Outcome| {
            let mut ids: Vec<_> =
                outcome.dead.iter().map(|letter| letter.about.original.event_id.clone()).collect();
            ids.sort();
            ids
        };
        assert_eq!(dead(self), dead(other), "{:?}, {:?}", reason(self), reason(other));
        assert_eq!(self.state, other.state);
        assert_eq!(self.multiset(), other.multiset());
    }
}

/// The same app in this process on a log in memory, undisturbed: the fast twin.
pub async fn undisturbed(manifest: &str, handlers: &[&str], inputs: &[Input]) -> Outcome {
    let folder = TempDir::new().unwrap();
    let path = lay_out(folder.path(), manifest);
    let config = waxwing::config::load(&path, []).unwrap().config;
    let sources: Vec<_> = config.handlers.iter().map(|handler| handler.module.clone()).collect();
    let modules =
        waxwing::module::gather(folder.path(), &sources, &Default::default(), &waxwing::module::Silent)
            .unwrap();
    let layout = Layout::new(config.app.clone());
    let log = waxwing::assemble::memory_log(&config);
    let mut last = Position::NONE;
    for input in inputs {
        let mut entry =
            waxwing_engine::port::log::NewEntry::new(input.subject.parse().unwrap(), input.data.clone());
        entry.headers = input.headers();
        last = waxwing_engine::port::log::commit(log.as_ref(), vec![entry]).await.unwrap().last;
    }
    let host = waxwing::assemble::Host::start(waxwing::assemble::Setup {
        config,
        modules,
        log: log.clone(),
        outside: waxwing_engine::port::Outside::default(),
        observe: Arc::new(waxwing_engine::port::observe::Unobserved),
        requests: None,
        own: None,
    })
    .await
    .unwrap();
    for handler in handlers {
        let wait = handled(log.as_ref(), &layout, handler, last);
        tokio::time::timeout(PATIENCE, wait).await.expect("the memory twin handles its inputs");
    }
    host.drain(PATIENCE).await;
    Outcome::of(log.as_ref(), &layout).await
}
