//! Where NATS is and who we are there: what every connection is made from.

use std::time::Duration;

use anyhow::{Context, Result};
use waxwing_log::jetstream::{
    Link, Server,
    connect::{connect, shown},
};

use super::credentials::{Credentials, Tls};

/// Where NATS is unless something else is said.
pub const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// A NATS system, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Addresses of servers; at least one.
    pub servers: Vec<String>,
    /// True where somebody named the servers.
    pub is_chosen: bool,
    /// Who we are.
    pub credentials: Credentials,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// How long to wait for a connection and for an answer.
    pub timeout: Duration,
}

impl Target {
    /// A server at this address, for nobody in particular.
    pub fn at(url: impl Into<String>) -> Target {
        Target {
            servers: vec![url.into()],
            is_chosen: true,
            credentials: Credentials::Anonymous,
            tls: Tls::default(),
            timeout: Duration::from_secs(5),
        }
    }

    /// The servers, as they are shown: without user and password.
    pub fn shown(&self) -> String {
        self.servers.iter().map(|server| shown(server)).collect::<Vec<_>>().join(", ")
    }

    /// The same as the log takes it.
    pub fn server(&self) -> Server {
        let mut server = Server { urls: self.servers.clone(), ..Server::at("") };
        match &self.credentials {
            Credentials::Anonymous => {}
            Credentials::File(path) => server.credentials = Some(path.clone()),
            Credentials::NkeyFile(path) => server.nkey = Some(path.clone()),
            Credentials::Token(token) => server.token = Some(token.clone()),
            Credentials::User(user, password) => server.user = Some((user.clone(), password.clone())),
        }
        server.certificate = self.tls.cert.clone().zip(self.tls.key.clone());
        server.root_certificates = self.tls.ca.clone();
        server
    }

    /// A connection.
    pub async fn connect(&self, purpose: &str) -> Result<Link> {
        let connected = tokio::time::timeout(self.timeout, connect(&self.server(), purpose)).await;
        Ok(connected.with_context(|| format!("no NATS server answers in time at {}", self.shown()))??)
    }
}
