//! Waxwing in this process: log, sandbox and engine as `waxwing run` puts them together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::Client;
use tokio::sync::Notify;
use waxwing_engine::entry::Partition;
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    port::{
        Log, Observe,
        clock::SystemClock,
        observe::{Handled, HandledResult, PartitionChange},
    },
};
use waxwing_event::{AppName, HandlerName, handler::Instance};
use waxwing_log::{
    JetStreamLog,
    jetstream::{self, Server},
};
use waxwing_sandbox::Sandbox;

use crate::{guest, items};

/// Counts handled events up to a number.
struct Count {
    handled: AtomicU64,
    awaited: u64,
    reached: Notify,
}

impl Observe for Count {
    fn handled(&self, handled: &Handled<'_>) {
        assert!(matches!(handled.result, HandledResult::Done { .. }), "{handled:?}");
        if self.handled.fetch_add(1, Ordering::Relaxed) + 1 == self.awaited {
            self.reached.notify_one();
        }
    }

    fn partition(&self, handler: &HandlerName, _: Partition, change: &PartitionChange) {
        if let PartitionChange::Interrupted(why) | PartitionChange::Stopped(why) = change {
            println!("{handler}: {why}");
        }
    }
}

/// A host with one handler of the app `name`.
pub struct Host {
    engine: Engine,
    count: Arc<Count>,
    _sandbox: Sandbox,
}

/// The log of the app `name`.
pub async fn log(server: &Server, name: &str) -> Arc<dyn Log> {
    let app: AppName = name.parse().unwrap();
    let options = jetstream::Options::new(app, vec![format!("{name}.>").parse().unwrap()]);
    Arc::new(JetStreamLog::open(server, &options).await.unwrap())
}

/// Starts a host that will be asked for `awaited` handled events.
pub async fn start(log: Arc<dyn Log>, name: &str, instance: Instance, state: bool, awaited: u64) -> Host {
    let sandbox = Sandbox::new(waxwing_sandbox::Options::default()).unwrap();
    let spec = guest::spec(name, instance, state).unwrap();
    let module = sandbox.load(&spec, guest::module()).unwrap();
    let count = Arc::new(Count { handled: AtomicU64::new(0), awaited, reached: Notify::new() });
    let ports = Ports::new(log, Arc::new(SystemClock), count.clone());
    let options = Options::new(name.parse().unwrap(), "bench");
    let engine = Engine::start(options, ports, vec![Hosted::new(spec, module)]).await.unwrap();
    Host { engine, count, _sandbox: sandbox }
}

impl Host {
    /// Waits for the awaited number of handled events.
    pub async fn handled(&self) {
        self.count.reached.notified().await;
    }

    pub async fn stop(self) {
        self.engine.drain(Duration::from_secs(10)).await;
    }
}

/// Drains `count` events that wait in the log.
pub async fn drain(
    server: &Server,
    client: &Client,
    name: &'static str,
    instance: Instance,
    state: bool,
    count: u64,
) -> Duration {
    let log = log(server, name).await;
    let subject: &'static str = format!("{name}.in").leak();
    items::publish(client, subject, count).await;
    let started = Instant::now();
    let host = start(log, name, instance, state, count).await;
    host.handled().await;
    let elapsed = started.elapsed();
    host.stop().await;
    elapsed
}
