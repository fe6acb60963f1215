//! Connections that wait for the next call.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
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
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<HashMap<Target, Vec<(Instant, Connection)>>>);

impl Idle {
    /// The connection that waits for the shortest time.
    pub(crate) fn take(&self, target: &Target) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.get_mut(target)?;
        while let Some((since, connection)) = waiting.pop() {
            if since.elapsed() < WAIT && !connection.is_closed() {
                return Some(connection);
            }
        }
        idle.remove(target);
        None
    }

    /// Keeps a connection, unless there are too many.
    pub(crate) fn put(&self, target: Target, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, waiting| {
            waiting.retain(|(since, connection)| since.elapsed() < WAIT && !connection.is_closed());
            !waiting.is_empty()
        });
        if idle.values().map(Vec::len).sum::<usize>() < COUNT {
            idle.entry(target).or_default().push((Instant::now(), connection));
        }
    }
}
