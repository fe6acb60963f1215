//! A NATS server of our own: for trying things out, and for tests.
//!
//! It listens on 127.0.0.1 only, on a port that the system chooses, and ends with its owner.

use std::{
    collections::VecDeque,
    env, fmt, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// How long a server may take to start: it reads its whole store.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines of the server's output that are kept for the message of a failed start.
const KEPT_LINES: usize = 10;

/// The version of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The first with all that a log needs: batches, times to live.
    pub const NEEDED: Version = Version(2, 12, 1);

    /// Reads what `nats-server --version` prints.
    fn parse(output: &str) -> Option<Version> {
        let number = output.trim().rsplit(['v', ' ']).next()?;
        let mut parts = number.split('-').next()?.split('.').map(|part| part.parse().ok());
        Some(Version(parts.next()??, parts.next()??, parts.next()??))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The servers on the `PATH`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnPath {
    /// The first that is new enough.
    pub found: Option<(PathBuf, Version)>,
    /// Those before it that are not.
    pub too_old: Vec<(PathBuf, Version)>,
}

/// Looks for a `nats-server` on the `PATH` that is new enough.
pub async fn look_on_path() -> OnPath {
    let mut looked = OnPath::default();
    for folder in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
        let binary = folder.join(format!("nats-server{}", env::consts::EXE_SUFFIX));
        match version_of(&binary).await {
            Some(version) if version >= Version::NEEDED => {
                looked.found = Some((binary, version));
                return looked;
            }
            Some(version) => looked.too_old.push((binary, version)),
            None => {}
        }
    }
    looked
}

/// Finds a `nats-server` on the `PATH` that is new enough.
pub async fn find_on_path() -> Option<(PathBuf, Version)> {
    look_on_path().await.found
}

/// Asks a binary for its version. None where it is no server that runs.
pub async fn version_of(binary: &Path) -> Option<Version> {
    let output = Command::new(binary).arg("--version").output().await.ok()?;
    Version::parse(&String::from_utf8_lossy(&output.stdout))
}

/// Asks the server of this process to end in good order.
pub async fn terminate(binary: &Path, process: u32) {
    // The binary knows how to signal its like, on each system.
    let mut signal = Command::new(binary);
    signal.arg("--signal").arg(format!("term={process}")).stdout(Stdio::null()).stderr(Stdio::null());
    // Whether it ends is seen by whoever waits for it.
    let _ = signal.status().await;
}

/// Why a server did not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The binary does not run.
    #[error("cannot run {}: get a nats-server of version {} or newer", binary.display(), Version::NEEDED)]
    Run {
        /// The binary.
        binary: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended, or said nothing for too long, before it was ready.
    #[error("{} did not become ready: {why}; it said:\n{output}", binary.display())]
    NotReady {
        /// The binary.
        binary: PathBuf,
        /// What happened.
        why: &'static str,
        /// Its last words.
        output: String,
    },
    /// It cannot be waited for.
    #[error("the NATS server cannot be stopped")]
    Stop(#[source] io::Error),
}

/// A running server, or one between kill and restart. Dropped, it is killed.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    store: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server that keeps its streams in `store`, on `port` or on one that the system chooses.
    /// Returns when it takes connections.
    pub async fn start(binary: &Path, store: &Path, port: Option<u16>) -> Result<NatsServer, ServerError> {
        let mut server = NatsServer {
            binary: binary.to_owned(),
            store: store.to_owned(),
            port: port.unwrap_or(0),
            child: None,
        };
        server.restart().await?;
        Ok(server)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Starts it anew on the same port and store; kills it first where it runs.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.kill_hard().await?;
        let mut child = self.spawn()?;
        let (port, lines) = match child.stderr.take() {
            Some(stderr) => self.ready(BufReader::new(stderr).lines()).await?,
            None => return Err(self.not_ready("it has no output", &VecDeque::new())),
        };
        // The task ends with the server, whose pipe must not fill up.
        tokio::spawn(drain(lines));
        self.port = port;
        self.child = Some(child);
        Ok(())
    }

    /// Asks it to end in good order, and waits for that.
    pub async fn stop(&mut self) -> Result<(), ServerError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        if let Some(id) = child.id() {
            terminate(&self.binary, id).await;
        }
        match timeout(STOP_TIMEOUT, child.wait()).await {
            Ok(ended) => {
                self.child = None;
                ended.map(drop).map_err(ServerError::Stop)
            }
            Err(_) => self.kill_hard().await,
        }
    }

    /// Kills it at once, as a crash would (SIGKILL where there are signals).
    pub async fn kill_hard(&mut self) -> Result<(), ServerError> {
        match self.child.take() {
            Some(mut child) => child.kill().await.map_err(ServerError::Stop),
            None => Ok(()),
        }
    }

    fn spawn(&self) -> Result<Child, ServerError> {
        // To the server, port -1 is one that the system chooses.
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut command = Command::new(&self.binary);
        command.args(["-js", "-a", "127.0.0.1", "-p"]).arg(port).arg("-sd").arg(&self.store);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        // What the terminal sends to all in front of it, such as ctrl-c, is for the owner, who stops it last.
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map_err(|source| ServerError::Run { binary: self.binary.clone(), source })
    }

    /// Reads what the server says until it is ready; gives its port.
    async fn ready(
        &self,
        mut lines: Lines<BufReader<ChildStderr>>,
    ) -> Result<(u16, Lines<BufReader<ChildStderr>>), ServerError> {
        let mut last = VecDeque::new();
        let mut port = None;
        loop {
            let line = match timeout(START_TIMEOUT, lines.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(_) => return Err(self.not_ready("it ended", &last)),
                Err(_) => return Err(self.not_ready("it takes too long", &last)),
            };
            port = listening_on(&line).or(port);
            if let (Some(port), true) = (port, line.ends_with("Server is ready")) {
                return Ok((port, lines));
            }
            if last.len() == KEPT_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
    }

    fn not_ready(&self, why: &'static str, last: &VecDeque<String>) -> ServerError {
        let output = last.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        ServerError::NotReady { binary: self.binary.clone(), why, output }
    }
}

fn listening_on(line: &str) -> Option<u16> {
    let (_, address) = line.split_once("Listening for client connections on ")?;
    address.rsplit(':').next()?.trim().parse().ok()
}

async fn drain(mut lines: Lines<BufReader<ChildStderr>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::trace!(line, "nats-server");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(Version::parse("nats-server: v2.15.1\n"), Some(Version(2, 15, 1)));
        assert_eq!(Version::parse("nats-server: v2.14.0-RC.1"), Some(Version(2, 14, 0)));
        assert_eq!(Version::parse("nats-server version 2.9"), None);
        assert!(Version(2, 12, 0) < Version::NEEDED && Version(3, 0, 0) > Version::NEEDED);
    }

    #[test]
    fn reads_the_port() {
        let line = "[1] 2026/11/21 02:54:59.8 [INF] Listening for client connections on 127.0.0.1:44017";
        assert_eq!(listening_on(line), Some(44017));
        assert_eq!(listening_on("[1] Server is ready"), None);
    }
}
