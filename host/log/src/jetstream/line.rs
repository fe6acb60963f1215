//! A connection that is made anew where its client has died for good.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::connect::{ConnectError, Link, Server, connect};

/// The pause between two attempts to replace a dead client.
const PAUSE: Duration = Duration::from_millis(250);

/// A place for a connection, and all that is needed to make it anew.
#[derive(Debug)]
pub(super) struct Line {
    server: Server,
    purpose: String,
    link: Mutex<Link>,
    renewing: tokio::sync::Mutex<()>,
}

impl Line {
    pub(super) async fn connect(server: &Server, purpose: &str) -> Result<Line, ConnectError> {
        let link = Mutex::new(connect(server, purpose).await?);
        let (server, purpose) = (server.clone(), purpose.to_owned());
        Ok(Line { server, purpose, link, renewing: tokio::sync::Mutex::default() })
    }

    /// The connection as it is, dead or alive.
    pub(super) fn current(&self) -> Link {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection that is not dead, though it may be away for now. Waits while a dead one cannot be
    /// replaced.
    pub(super) async fn living(&self) -> Link {
        let link = self.current();
        if link.is_dead() { self.renewed().await } else { link }
    }

    async fn renewed(&self) -> Link {
        let _one_at_a_time = self.renewing.lock().await;
        loop {
            let link = self.current();
            if !link.is_dead() {
                return link;
            }
            match connect(&self.server, &self.purpose).await {
                Ok(link) => *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link,
                Err(error) => {
                    tracing::warn!(%error, "a lost connection to NATS cannot be made anew yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
