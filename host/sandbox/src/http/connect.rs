//! Connections: which address is connected to, and how.
//!
//! A name is looked up once, here. What is connected to is the very address that was looked at: a name that says
//! something else a moment later changes nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hyper::client::conn::http1;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use wasmtime_wasi_http::io::TokioIo;
use waxwing_event::{
    address::is_public,
    http::Addresses,
    origin::{Host, Origin, Scheme},
};

use super::{
    CallError,
    idle::{Connection, Target},
    tls::Tls,
};

/// The most bytes of a response's status and headers, and of its body that are read ahead.
const BUFFER_BYTES: usize = 64 << 10;

/// A new connection, within this time.
pub(crate) async fn connect(tls: &Tls, target: &Target, within: Duration) -> Result<Connection, CallError> {
    match timeout(within, begin(tls, target)).await {
        Ok(begun) => begun,
        Err(_) => Err(CallError::ConnectTimeout(target.origin.clone(), within)),
    }
}

async fn begin(tls: &Tls, Target { origin, reach }: &Target) -> Result<Connection, CallError> {
    let addresses = allowed(found(origin).await?, *reach);
    if addresses.is_empty() {
        return Err(CallError::Private(origin.clone()));
    }
    let failed = |error| CallError::Connect(origin.clone(), error);
    let stream = open(&addresses).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    match origin.scheme() {
        Scheme::Http => speak(origin, stream).await,
        Scheme::Https => speak(origin, tls.connect(origin, stream).await?).await,
    }
}

/// Every address of the origin, in the resolver's order.
async fn found(origin: &Origin) -> Result<Vec<SocketAddr>, CallError> {
    let port = origin.port();
    let name = match origin.host() {
        Host::V4(address) => return Ok(vec![SocketAddr::new(IpAddr::V4(*address), port)]),
        Host::V6(address) => return Ok(vec![SocketAddr::new(IpAddr::V6(*address), port)]),
        Host::Name(name) => name.as_str(),
    };
    let none = |error| CallError::NoAddress(origin.clone(), error);
    let addresses: Vec<SocketAddr> = lookup_host((name, port)).await.map_err(none)?.collect();
    if addresses.is_empty() { Err(none(io::Error::other("the name leads nowhere"))) } else { Ok(addresses) }
}

/// Those that may be connected to.
fn allowed(mut addresses: Vec<SocketAddr>, reach: Addresses) -> Vec<SocketAddr> {
    addresses.retain(|address| reach == Addresses::All || is_public(address.ip()));
    addresses
}

/// The first that takes the connection.
async fn open(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::other("there is no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn speak<S>(origin: &Origin, stream: S) -> Result<Connection, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(BUFFER_BYTES).handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|error| CallError::Protocol(origin.clone(), error))?;
    // Owned by the sender: it ends when that is dropped, and tells it of its errors.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_that_leads_in_and_out_only_the_outside_is_left() {
        let all: Vec<SocketAddr> =
            ["10.0.0.1:1", "8.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "[2606:4700::1111]:1"]
                .map(|address| address.parse().unwrap())
                .to_vec();
        assert_eq!(allowed(all.clone(), Addresses::Public), [all[1], all[4]]);
        assert_eq!(allowed(all.clone(), Addresses::All), all);
    }
}
