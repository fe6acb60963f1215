//! A host: starts, lives through what befalls it, ends, and starts again.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    engine::Drained,
    gauges::HandlerGauges,
    port::{Log, log::CommitError, observe::Unobserved},
};
use waxwing_event::{
    HandlerName, HandlerSpec, Pattern,
    handler::{OnExhausted, OutagePolicy, RetryPolicy},
};

use super::{
    app,
    bug::{Bug, Buggy},
    clock::WallClock,
    dice::Dice,
    handler::Handler,
    life::Life,
    link::Link,
    sandbox::Sandbox,
    trace::Seen,
    witness::Witness,
    world::World,
};

/// How the hosts of a run are set up.
#[derive(Debug, Clone)]
pub struct Settings {
    pub lease: Duration,
    pub checkpoint_every: Duration,
    pub cache_bytes: NonZeroUsize,
    pub concurrency: u32,
    /// What the hosts know of the app's own subjects; nothing: all may be.
    pub events: Vec<Pattern>,
    /// Whether a restarted host keeps its identity.
    pub same_identity: bool,
    pub retry: RetryPolicy,
    pub on_exhausted: OnExhausted,
    pub outage: OutagePolicy,
    /// How many events may be parked.
    pub parked: u32,
    pub in_flight_bytes: u64,
    /// The most partitions that a host can wish for when it starts.
    pub partitions: u64,
    pub bug: Option<Bug>,
}

impl Settings {
    pub fn drawn(dice: &Dice, events: &[Pattern], bug: Option<Bug>) -> Settings {
        Settings {
            lease: Duration::from_secs(dice.within(1..6)),
            checkpoint_every: Duration::from_millis(dice.pick(&[10, 100, 1_000, 5_000])),
            cache_bytes: NonZeroUsize::new(dice.pick(&[1, 600, 1 << 20])).unwrap(),
            concurrency: dice.pick(&[1, 2, 3, 8, 64]),
            events: if dice.percent(50) { events.to_vec() } else { Vec::new() },
            same_identity: dice.percent(70),
            retry: RetryPolicy {
                attempts: u32::try_from(dice.within(1..7)).unwrap(),
                immediate: u32::try_from(dice.within(1..4)).unwrap(),
                first: dice.spread(Duration::from_secs(2)),
                most: Duration::from_secs(5),
            },
            on_exhausted: dice.pick(&[OnExhausted::DeadLetterKey, OnExhausted::DeadLetterEvent]),
            outage: OutagePolicy { after: dice.pick(&[0, 3, 10]), probe: dice.millis(100..5_000) },
            parked: dice.pick(&[0, 3, 100_000, 100_000, 100_000]),
            in_flight_bytes: dice.pick(&[1, 500, 1 << 20]),
            partitions: dice.pick(&[1, 1, 2, 4]),
            bug,
        }
    }
}

impl Settings {
    /// So many runs of a handler can meet.
    pub fn meeting(&self) -> u32 {
        if self.in_flight_bytes < 1 << 20 { 1 } else { self.concurrency }
    }
}

/// What hosts show of themselves.
pub type Shown = Arc<Mutex<BTreeMap<String, Vec<(HandlerName, HandlerGauges)>>>>;

/// A host.
#[derive(Clone)]
pub struct Host {
    pub name: &'static str,
    pub world: World,
    pub settings: Settings,
    pub witness: Witness,
    /// What the hosts show of themselves, by their identities.
    pub shown: Shown,
    /// Asks it to leave for good.
    pub leave: CancellationToken,
}

/// How a life ended.
enum End {
    /// It is over; the next one follows.
    Over,
    /// The host has left for good.
    Left(Drained),
}

/// What befalls a host by the clock.
enum Befalls {
    Drain,
    Kill,
}

impl Host {
    /// Lives again and again, until it is asked to leave.
    pub async fn live(self) -> Drained {
        for number in 1.. {
            let life = Life::begin(format!("{}{number}", self.name), &self.world);
            if let End::Left(how) = self.one_life(&life).await {
                return how;
            }
            let World { clock, dice, .. } = &self.world;
            clock.wait(Duration::from_millis(20) + dice.spread(Duration::from_secs(8))).await;
        }
        Drained::Whole
    }

    async fn one_life(&self, life: &Arc<Life>) -> End {
        let started = tokio::select! {
            biased;
            () = life.end() => return End::Over,
            engine = self.start(life) => engine,
        };
        let engine = match started {
            Ok(engine) => engine,
            Err(error) => {
                life.note(format_args!("cannot start: {error}"));
                return End::Over;
            }
        };
        let befalls = tokio::select! {
            biased;
            () = life.end() => return End::Over,
            () = self.leave.cancelled() => {
                life.wake();
                return End::Left(self.drain(life, engine, Duration::from_secs(60)).await);
            }
            befalls = self.befalls(life) => befalls,
        };
        match befalls {
            Befalls::Kill => life.die(Seen::CrashAtAnyTime),
            Befalls::Drain => {
                life.world.trace.count(Seen::Drain);
                self.drain(life, engine, life.world.dice.spread(Duration::from_secs(10))).await;
            }
        }
        End::Over
    }

    async fn start(&self, life: &Arc<Life>) -> Result<Engine, CommitError> {
        let Settings { lease, checkpoint_every, cache_bytes, events, .. } = self.settings.clone();
        let host = if self.settings.same_identity { self.name } else { &life.name };
        let options = Options { lease, checkpoint_every, cache_bytes, events, ..Options::new(app(), host) };
        let mut log: Arc<dyn Log> = Arc::new(Link::new(life.clone()));
        if let Some(bug) = self.settings.bug {
            log = Arc::new(Buggy::new(bug, log));
        }
        let wrong_by = SignedDuration::from_millis(self.world.dice.within(0..20_000) as i64 - 10_000);
        let clock = Arc::new(WallClock { time: self.world.clock.clone(), wrong_by });
        let ports = Ports::new(log, clock, Arc::new(Unobserved));
        let handlers = Handler::ALL.into_iter().map(|handler| self.hosted(handler, life)).collect();
        let engine = Engine::start(options, ports, handlers).await?;
        self.shown.lock().unwrap().insert(host.to_owned(), engine.gauges());
        Ok(engine)
    }

    fn hosted(&self, handler: Handler, life: &Arc<Life>) -> Hosted {
        let mut spec = HandlerSpec::new(handler.name(), vec![handler.on()]);
        let Settings { concurrency, retry, on_exhausted, outage, parked, in_flight_bytes, .. } =
            self.settings.clone();
        let partitions = self.world.dice.within(1..self.settings.partitions + 1);
        spec.partitions = u32::try_from(partitions).unwrap().try_into().unwrap();
        spec.concurrency = concurrency.try_into().unwrap();
        (spec.retry, spec.on_exhausted, spec.outage) = (retry, on_exhausted, outage);
        (spec.limits.parked, spec.limits.in_flight_bytes) = (parked, in_flight_bytes);
        if self.settings.bug != Some(Bug::ForgetTheKey) {
            spec.key = handler.key();
        }
        let module = Sandbox {
            handler,
            life: life.clone(),
            witness: self.witness.clone(),
            meeting: self.settings.meeting() as usize,
        };
        Hosted::new(spec, Arc::new(module))
    }

    /// Returns when the host ends by the clock; pauses come in between.
    async fn befalls(&self, life: &Arc<Life>) -> Befalls {
        let World { dice, clock, weather, .. } = &self.world;
        loop {
            let Some(every) = weather.faults().and_then(|faults| faults.befalls) else {
                return std::future::pending().await;
            };
            clock.wait(dice.spread(every * 2)).await;
            if weather.is_calm() {
                continue;
            }
            match dice.within(0..4) {
                0 => return Befalls::Drain,
                1 => return Befalls::Kill,
                _ => life.pauses(),
            }
        }
    }

    async fn drain(&self, life: &Life, engine: Engine, grace: Duration) -> Drained {
        life.note(format_args!("drains"));
        let how = tokio::select! {
            biased;
            () = life.end() => Drained::GraceOver,
            how = engine.drain(grace) => how,
        };
        life.note(format_args!("has drained: {how:?}"));
        how
    }
}
