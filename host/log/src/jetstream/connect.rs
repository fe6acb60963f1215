//! Connections to NATS, made the same way everywhere, and what is known of their state.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Client, ConnectErrorKind, Event};
use percent_encoding::percent_decode_str;
use tokio::{sync::watch, time::Instant};

use super::denied::Denied;

/// The longest pause between two attempts to get a lost connection back.
const MAX_RECONNECT_DELAY: Duration = Duration::from_millis(250);
/// How long a connection may be silent before the server is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that may wait in one subscription: the client drops those that find it full, so it is as large
/// as what can be on its way.
const SUBSCRIPTION_CAPACITY: usize = 1 << 20;

/// Where NATS is and how to sign in, as NATS tools take it.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Addresses such as `nats://127.0.0.1:4222`; any of a cluster's servers will do.
    pub urls: Vec<String>,
    /// What the server's lists of connections call this program.
    pub name: String,
    /// A credentials file (JWT and seed).
    pub credentials: Option<PathBuf>,
    /// A file with an nkey seed.
    pub nkey: Option<PathBuf>,
    /// A user name and its password.
    pub user: Option<(String, String)>,
    /// A token.
    pub token: Option<String>,
    /// A client certificate and its key, PEM files.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// A file of root certificates to trust, PEM.
    pub root_certificates: Option<PathBuf>,
}

impl Server {
    /// A server without authentication.
    pub fn at(url: impl Into<String>) -> Server {
        Server { urls: vec![url.into()], name: "waxwing".to_owned(), ..Server::default() }
    }
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address was given.
    #[error("no NATS server is named: set NATS_URL or `--server`, such as nats://127.0.0.1:4222")]
    NoServer,
    /// A file of the sign-in cannot be read.
    #[error("cannot read {}: check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The server does not let this program in.
    #[error("the NATS server at {urls} refuses to let us in: check credentials, nkey, user or token")]
    Refused {
        /// The addresses.
        urls: String,
        /// What the client said.
        source: async_nats::ConnectError,
    },
    /// The addresses cannot be understood.
    #[error("`{urls}` is no address of a NATS server: write nats://host:port")]
    Address {
        /// The addresses.
        urls: String,
        /// What the client said.
        source: async_nats::ConnectError,
    },
    /// The system gives no thread for the connection.
    #[error("cannot start a thread for a connection to NATS: {0}")]
    Thread(io::Error),
    /// Nobody answers there.
    #[error("no NATS server answers at {urls}: start one with `nats-server -js`, or set another address")]
    Unreachable {
        /// The addresses.
        urls: String,
        /// What the client said.
        source: async_nats::ConnectError,
    },
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkState {
    /// True while it stands.
    pub connected: bool,
    /// How often it has been lost.
    pub losses: u64,
}

/// A connection that heals itself, and its state.
#[derive(Debug, Clone)]
pub struct Link {
    client: Client,
    state: watch::Receiver<LinkState>,
    denied: Arc<Denied>,
}

impl Link {
    /// The client, for what is not the log's: requests, queries.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The state now.
    pub fn state(&self) -> LinkState {
        *self.state.borrow()
    }

    /// The state as it changes.
    pub fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// True where the server has denied us to publish to the subject at or after `since`.
    pub(super) fn denied(&self, subject: &str, since: Instant) -> bool {
        self.denied.since(subject, since)
    }

    /// True where it will never heal: the client's task has ended. It panics, for one, at a header with a
    /// lone carriage return.
    pub fn is_dead(&self) -> bool {
        self.state.has_changed().is_err()
    }
}

/// Connects, or says clearly why not. Later losses heal by themselves, however long they last.
///
/// `purpose` is added to the connection's name.
pub async fn connect(server: &Server, purpose: &str) -> Result<Link, ConnectError> {
    if server.urls.is_empty() {
        return Err(ConnectError::NoServer);
    }
    let (changes, state) = watch::channel(LinkState { connected: true, losses: 0 });
    let changes = Arc::new(changes);
    let denied = Arc::new(Denied::default());
    let noted = denied.clone();
    let options = sign_in(server)
        .await?
        .name(format!("{} {purpose}", server.name))
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let millis = 10_u64.saturating_mul(u64::try_from(attempts).unwrap_or(u64::MAX).saturating_sub(1));
            Duration::from_millis(millis).min(MAX_RECONNECT_DELAY)
        })
        .event_callback(move |event| {
            note(&changes, &noted, &event);
            std::future::ready(())
        });
    let client = options.connect(&server.urls).await.map_err(|error| explained(server, error))?;
    Ok(Link { client, state, denied })
}

fn note(changes: &watch::Sender<LinkState>, denied: &Denied, event: &Event) {
    match event {
        Event::Connected => changes.send_modify(|state| state.connected = true),
        Event::Disconnected | Event::Closed => changes.send_modify(|state| {
            state.connected = false;
            state.losses += 1;
        }),
        Event::ServerError(error) => {
            denied.note(&error.to_string());
            tracing::warn!(%error, "the NATS server reports an error");
        }
        Event::SlowConsumer(_) => {
            tracing::warn!("messages from NATS were dropped: they came faster than they were read")
        }
        _ => {}
    }
}

async fn sign_in(server: &Server) -> Result<async_nats::ConnectOptions, ConnectError> {
    let mut options = async_nats::ConnectOptions::new();
    let is_named = server.user.is_some() || server.token.is_some();
    let is_named = is_named || server.nkey.is_some() || server.credentials.is_some();
    match server.urls.iter().find_map(|url| in_address(url)).filter(|_| !is_named) {
        Some((user, Some(password))) => options = options.user_and_password(user, password),
        Some((token, None)) => options = options.token(token),
        None => {}
    }
    if let Some((user, password)) = &server.user {
        options = options.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &server.token {
        options = options.token(token.clone());
    }
    if let Some(path) = &server.nkey {
        options = options.nkey(read(path).await?.trim().to_owned());
    }
    if let Some(path) = &server.credentials {
        let text = read(path).await?;
        options =
            options.credentials(&text).map_err(|source| ConnectError::File { path: path.clone(), source })?;
    }
    if let Some((certificate, key)) = &server.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if let Some(roots) = &server.root_certificates {
        options = options.add_root_certificates(roots.clone());
    }
    Ok(options)
}

/// The user and the password that an address names, or the token, as `nats://user:password@host` and
/// `nats://token@host` do. The client passes over them.
fn in_address(url: &str) -> Option<(String, Option<String>)> {
    let address: async_nats::ServerAddr = url.parse().ok()?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((plain(address.username()?), address.password().map(plain)))
}

/// An address as it is shown: without user, password and token.
pub fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => url.to_owned(),
    }
}

async fn read(path: &PathBuf) -> Result<String, ConnectError> {
    tokio::fs::read_to_string(path).await.map_err(|source| ConnectError::File { path: path.clone(), source })
}

fn explained(server: &Server, source: async_nats::ConnectError) -> ConnectError {
    let urls = server.urls.iter().map(|url| shown(url)).collect::<Vec<_>>().join(", ");
    match source.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Refused { urls, source }
        }
        ConnectErrorKind::ServerParse => ConnectError::Address { urls, source },
        _ => ConnectError::Unreachable { urls, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_who_an_address_names() {
        let found = |user: &str, password: Option<&str>| Some((user.to_owned(), password.map(str::to_owned)));
        assert_eq!(in_address("nats://host:p%40ss@127.0.0.1:4222"), found("host", Some("p@ss")));
        assert_eq!(in_address("tls://secret@example.org"), found("secret", None));
        assert_eq!(in_address("host:password@example.org:4222"), found("host", Some("password")));
        assert_eq!(shown("nats://host:p%40ss@127.0.0.1:4222"), "nats://127.0.0.1:4222");
        assert_eq!((in_address("nats://127.0.0.1:4222"), in_address("127.0.0.1")), (None, None));
    }
}
