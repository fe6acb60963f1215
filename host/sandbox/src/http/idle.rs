//! Connections that wait for the next call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::sleep;
use waxwing_event::{http::Addresses, origin::Origin};

/// How long one waits: shorter than servers do, so that few calls find a connection that the server has just closed.
const WAIT: Duration = Duration::from_secs(4);

/// How many wait at once.
const COUNT: usize = 256;

/// Where a connection leads. One that was made where all addresses are granted is of no use to whom they are not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// The origin.
    pub(crate) origin: Origin,
    /// Which of its addresses were allowed.
    pub(crate) reach: Addresses,
}

/// A connection: it ends when this is dropped.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// The connections that wait.
#[derive(Debug, Default, Clone)]
pub(crate) struct Idle(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    connections: HashMap<Target, Vec<(Instant, Connection)>>,
    /// True while somebody looks after them.
    is_swept: bool,
}

impl Idle {
    /// The connection that waits for the shortest time.
    pub(crate) fn take(&self, target: &Target) -> Option<Connection> {
        let mut idle = self.lock();
        let waiting = idle.connections.get_mut(target)?;
        while let Some((since, connection)) = waiting.pop() {
            if since.elapsed() < WAIT && !connection.is_closed() {
                return Some(connection);
            }
        }
        idle.connections.remove(target);
        None
    }

    /// Keeps a connection, unless there are too many. Must be called within a tokio runtime.
    pub(crate) fn put(&self, target: Target, connection: Connection) {
        let mut idle = self.lock();
        if idle.connections.values().map(Vec::len).sum::<usize>() >= COUNT {
            return;
        }
        idle.connections.entry(target).or_default().push((Instant::now(), connection));
        if !idle.is_swept {
            idle.is_swept = true;
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Closes what has waited for too long, until nothing waits.
    async fn sweep(self) {
        loop {
            sleep(WAIT / 2).await;
            let mut idle = self.lock();
            idle.connections.retain(|_, waiting| {
                waiting.retain(|(since, connection)| since.elapsed() < WAIT && !connection.is_closed());
                !waiting.is_empty()
            });
            if idle.connections.is_empty() {
                idle.is_swept = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
