//! The connection, made anew where its client has died for good: a header block that the client cannot parse
//! can end it.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::Client;
use async_trait::async_trait;

/// The pause between two attempts to replace a dead client.
const PAUSE: Duration = Duration::from_millis(250);

/// Why no connection was made.
pub type DialError = Box<dyn Error + Send + Sync>;

/// Makes connections to NATS.
#[async_trait]
pub trait Dial: Send + Sync {
    /// A new connection, which heals by itself when it is lost.
    async fn dial(&self) -> Result<Client, DialError>;
}

/// A place for a connection.
pub(super) struct Line {
    dial: Arc<dyn Dial>,
    client: Mutex<Client>,
    renewing: tokio::sync::Mutex<()>,
}

impl Line {
    pub(super) async fn open(dial: Arc<dyn Dial>) -> Result<Line, DialError> {
        let client = Mutex::new(dial.dial().await?);
        Ok(Line { dial, client, renewing: tokio::sync::Mutex::default() })
    }

    /// The connection as it is, dead or alive.
    pub(super) fn current(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection that stands. Waits while there is none.
    pub(super) async fn living(&self) -> Client {
        let _one_at_a_time = self.renewing.lock().await;
        loop {
            let client = self.current();
            if client.flush().await.is_ok() {
                return client;
            }
            match self.dial.dial().await {
                Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
                Err(error) => {
                    tracing::warn!(%error, "a lost connection to NATS cannot be made anew yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
