//! Between a host and its server: cuts the network, and stops it at a chosen moment of a host's work.

mod moment;
mod wire;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_log::jetstream::Server;

pub use self::moment::{Moment, Point};
use self::{
    moment::{Fate, Lookout, Way},
    wire::Frame,
};
use crate::{app::Backing, server::TestServer};

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    /// It carries everything.
    Open,
    /// It keeps connections and carries nothing.
    Silent,
    /// It takes no connections.
    Cut,
}

/// A server that hosts reach through a proxy, and tests directly.
pub struct Proxied {
    pub server: TestServer,
    pub proxy: Proxy,
}

impl Proxied {
    pub async fn start() -> Proxied {
        let server = TestServer::start().await;
        let proxy = Proxy::start(server.process.port()).await;
        Proxied { server, proxy }
    }
}

impl Backing for Proxied {
    fn address(&self) -> Server {
        self.server.address()
    }

    fn url_for_hosts(&self) -> String {
        self.proxy.url()
    }
}

/// A proxy for one server.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

struct Shared {
    server: SocketAddr,
    network: watch::Sender<Network>,
    lookout: Mutex<Option<Lookout>>,
    fired: watch::Sender<bool>,
    delivered: watch::Sender<usize>,
    /// How many of the next deliveries get lost.
    to_lose: AtomicUsize,
    /// Ends the connections that there are.
    connections: Mutex<CancellationToken>,
}

impl Proxy {
    async fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], server)),
            network: watch::Sender::new(Network::Open),
            lookout: Mutex::default(),
            fired: watch::Sender::new(false),
            delivered: watch::Sender::new(0),
            to_lose: AtomicUsize::new(0),
            connections: Mutex::default(),
        });
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, shared.clone())));
        Proxy { port, shared, _accepting: accepting }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Waits for this moment of the next host's work. Then nothing is carried any more.
    pub fn arm(&self, moment: Moment) {
        self.open(Some(Lookout::new(moment)));
    }

    /// Carries everything, on new connections.
    pub fn disarm(&self) {
        self.open(None);
    }

    fn open(&self, lookout: Option<Lookout>) {
        self.shared.end_connections();
        *self.shared.lookout.lock().unwrap() = lookout;
        self.shared.fired.send_replace(false);
        self.shared.network.send_replace(Network::Open);
    }

    /// True once the moment has come; false after `time` without it.
    pub async fn fired_within(&self, time: Duration) -> bool {
        let mut fired = self.shared.fired.subscribe();
        tokio::time::timeout(time, fired.wait_for(|fired| *fired)).await.is_ok()
    }

    /// Waits until this many inputs have been delivered to hosts.
    pub async fn delivered(&self, count: usize) {
        let mut delivered = self.shared.delivered.subscribe();
        delivered.wait_for(|so_far| *so_far >= count).await.unwrap();
    }

    /// Loses the next deliveries, so many, as servers do between which a route breaks.
    pub fn lose(&self, deliveries: usize) {
        self.shared.to_lose.store(deliveries, SeqCst);
    }

    /// How many deliveries are still to be lost.
    pub fn to_lose(&self) -> usize {
        self.shared.to_lose.load(SeqCst)
    }

    /// Ends all connections and takes no new ones.
    pub fn cut(&self) {
        self.shared.network.send_replace(Network::Cut);
        self.shared.end_connections();
    }

    /// Carries nothing any more, and says nothing of it.
    pub fn silence(&self) {
        self.shared.network.send_replace(Network::Silent);
    }

    /// Carries everything again, what was held up first.
    pub fn restore(&self) {
        self.shared.network.send_replace(Network::Open);
    }
}

impl Shared {
    fn end_connections(&self) {
        std::mem::take(&mut *self.connections.lock().unwrap()).cancel();
    }

    fn loses(&self, way: Way, frame: &Frame<'_>) -> bool {
        matches!((way, frame), (Way::ToHost, Frame::Message(message)) if moment::is_delivery(message))
            && self.to_lose.try_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    /// Decides about a frame, in the order of all connections; none where its connection has been ended, of
    /// which the next lookout must not hear.
    fn look(&self, way: Way, frame: &Frame<'_>, end: &CancellationToken) -> Option<Fate> {
        let mut lookout = self.lookout.lock().unwrap();
        if end.is_cancelled() {
            return None;
        }
        if let (Way::ToHost, Frame::Message(message)) = (way, frame)
            && moment::is_input(message)
        {
            self.delivered.send_modify(|count| *count += 1);
        }
        let fate = lookout.as_mut().map_or(Fate::Pass, |lookout| lookout.look(way, frame));
        if fate != Fate::Pass {
            // From here on every connection holds back what it has.
            self.network.send_replace(Network::Silent);
            *lookout = None;
        }
        Some(fate)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (host, _) = listener.accept().await.unwrap();
        let end = shared.connections.lock().unwrap().clone();
        if *shared.network.borrow() != Network::Cut {
            let shared = shared.clone();
            // It ends with its connections, with the test at the latest.
            tokio::spawn(async move { end.run_until_cancelled(carry(host, &shared, &end)).await });
        }
    }
}

/// Carries both ways until one side ends.
async fn carry(host: TcpStream, shared: &Shared, end: &CancellationToken) {
    let Ok(server) = TcpStream::connect(shared.server).await else { return };
    for stream in [&host, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (from_host, to_host) = host.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = pump(Way::ToServer, from_host, to_server, shared, end) => {}
        _ = pump(Way::ToHost, from_server, to_host, shared, end) => {}
    }
}

/// Carries one way, frame by frame.
async fn pump(
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    end: &CancellationToken,
) -> io::Result<()> {
    let mut network = shared.network.subscribe();
    let mut bytes = Vec::new();
    loop {
        if from.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        let mut passed = 0;
        while let Some((frame, length)) = wire::frame(&bytes[passed..]) {
            if network.wait_for(|network| *network != Network::Silent).await.is_err() {
                return Ok(());
            }
            let Some(fate) = shared.look(way, &frame, end) else { return Ok(()) };
            if shared.loses(way, &frame) {
                bytes.drain(passed..passed + length);
                continue;
            }
            if fate != Fate::Fire {
                passed += length;
            }
            if fate != Fate::Pass {
                let written = to.write_all(&bytes[..passed]).await;
                shared.fired.send_replace(true);
                written?;
                bytes.drain(..passed);
                passed = 0;
            }
        }
        to.write_all(&bytes[..passed]).await?;
        bytes.drain(..passed);
    }
}
