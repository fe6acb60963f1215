//! WASI 0.2: everything is linked, nothing is granted. Guests see clocks and random numbers; no sockets, no
//! arguments, no environment, an empty standard input. What they print becomes lines. Files and HTTP are apart, see
//! `files` and `http`.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncWrite, sink};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    Deterministic, HostWallClock, WasiCtx, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream},
    p2::{DynPollable, OutputStream, Pollable, StreamResult, bindings::clocks::monotonic_clock, subscribe},
};

use super::files;
use crate::{
    guest::Guest,
    lines::{Lines, Stream},
    study::{CHANCE, Study},
    timer::Sleep,
};

/// Streams and pollables that an instance may hold at once.
const RESOURCES: usize = 1024;

/// The most random bytes that a guest gets with one call.
const RANDOM_BYTES: u64 = 1 << 20;

/// The most bytes that a guest may write to a stream at once.
const WRITE_BYTES: usize = 64 << 10;

/// The WASI of one instance.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    /// A WASI that prints to these lines, and whose time and chance a study may fix.
    pub(crate) fn new(lines: Option<Lines>, study: Option<&Study>) -> Wasi {
        let mut builder = WasiCtx::builder();
        builder.max_random_size(RANDOM_BYTES).allow_tcp(false).allow_udp(false);
        if let Some(lines) = lines {
            builder
                .stdout(Printed { lines: lines.clone(), stream: Stream::Output })
                .stderr(Printed { lines, stream: Stream::Error });
        }
        if let Some(study) = study {
            builder
                .wall_clock(Wall(study.clone()))
                .secure_random(Deterministic::new(CHANCE.to_vec()))
                .insecure_random(Deterministic::new(CHANCE.to_vec()))
                .insecure_random_seed(u128::from_be_bytes(CHANCE));
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Wasi { context: builder.build(), table }
    }

    /// What the instance holds of the host.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

/// Links all of WASI.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // The crate's own clock sleeps on a runtime of tokio, and workers have none.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    files::link(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

/// The time that a study says.
struct Wall(Study);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        (self.0.now)()
    }
}

/// A standard stream of the guest.
#[derive(Clone)]
struct Printed {
    lines: Lines,
    stream: Stream,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it.
        Box::new(sink())
    }
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines.take(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

/// The time from which guests count.
fn origin() -> Instant {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok(u64::try_from(origin().elapsed().as_nanos())?)
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok(1)
    }

    fn subscribe_instant(
        &mut self,
        when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let until = origin().checked_add(Duration::from_nanos(when));
        subscribe_until(&mut self.wasi().table, until)
    }

    fn subscribe_duration(
        &mut self,
        duration: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let until = Instant::now().checked_add(Duration::from_nanos(duration));
        subscribe_until(&mut self.wasi().table, until)
    }
}

fn subscribe_until(
    table: &mut ResourceTable,
    until: Option<Instant>,
) -> wasmtime::Result<Resource<DynPollable>> {
    let alarm = table.push(Alarm { until })?;
    subscribe(table, alarm)
}

/// An instant that a guest waits for; none: it never comes.
struct Alarm {
    until: Option<Instant>,
}

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        match self.until {
            Some(until) => Sleep::until(until).await,
            None => std::future::pending().await,
        }
    }
}
