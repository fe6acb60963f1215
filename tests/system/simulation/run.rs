//! A run of the simulation: a storm, a calm in which everything must come to rest, and the check.

use std::{collections::BTreeMap, time::Duration};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use waxwing_engine::engine::Drained;
use waxwing_event::Pattern;

use super::{
    arrivals::Arrivals,
    bug::Bug,
    handler::Handler,
    host::{Host, Settings, Shown},
    invariants::violations,
    operator::Operator,
    rest,
    trace::Seen,
    witness::Witness,
    world::World,
};

/// What came of a run.
pub struct Ran {
    pub trace: String,
    pub seen: BTreeMap<Seen, u64>,
    pub violations: Vec<String>,
}

/// Runs one seed. Everything happens on this thread, and in virtual time.
pub fn run(seed: u64, bug: Option<Bug>) -> Ran {
    let events: Vec<Pattern> = ["in.>", "out.>"].map(|pattern| pattern.parse().unwrap()).to_vec();
    let world = World::new(seed, &events);
    let clock = world.clock.clone();
    // No timer, no I/O: what waits for anything but the world would wait for ever.
    let runtime = Builder::new_current_thread().on_thread_park(move || clock.advance()).build().unwrap();
    let settings = Settings::drawn(&world.dice, &events, bug);
    let (trace, of) = (world.trace.clone(), world.clone());
    trace.note("sim", format_args!("seed {seed}, {settings:?}, {:?}", world.weather));
    let ran = runtime.block_on(async move {
        let clock = of.clock.clone();
        let story = tokio::spawn(Story::new(of, settings).tell());
        tokio::select! {
            biased;
            ended = story => ended.unwrap_or_else(|panic| vec![panic.to_string()]),
            () = clock.wait(rest::PATIENCE * 6) => vec!["it does not come to an end".to_owned()],
            () = clock.worn_out() => vec!["it goes round and round".to_owned()],
        }
    });
    Ran { trace: trace.text(), seen: trace.seen(), violations: ran }
}

/// What happens in a run.
struct Story {
    world: World,
    settings: Settings,
    witness: Witness,
    shown: Shown,
    leave: CancellationToken,
    found: Vec<String>,
}

impl Story {
    fn new(world: World, settings: Settings) -> Story {
        let (witness, shown, leave) = (Witness::default(), Shown::default(), CancellationToken::new());
        Story { world, settings, witness, shown, leave, found: Vec::new() }
    }

    async fn tell(mut self) -> Vec<String> {
        let world = self.world.clone();
        let names: &[&str] = if world.dice.percent(70) { &["a", "b"] } else { &["a"] };
        let hosts: Vec<_> = names.iter().map(|name| tokio::spawn(self.host(name).live())).collect();
        let (mut arrivals, operator) = self.storm().await;

        self.world.trace.note("sim", format_args!("it is calm"));
        self.rest().await;
        self.world.trace.note("sim", format_args!("the modules are fixed"));
        world.modules.fix();
        self.clear(&operator).await;
        arrivals.publish_last(self.settings.meeting());
        self.rest().await;
        self.leave.cancel();
        for host in hosts {
            if host.await.unwrap() != Drained::Whole {
                self.found.push("a host did not finish what was under way".to_owned());
            }
        }
        let left = leaves_nothing_behind(&world).await;
        self.note(left);
        let violations = violations(&world.server, &self.settings, &self.witness.done()).await;
        self.found.extend(violations);
        self.found
    }

    fn host(&self, name: &'static str) -> Host {
        Host {
            name,
            world: self.world.clone(),
            settings: self.settings.clone(),
            witness: self.witness.clone(),
            shown: self.shown.clone(),
            leave: self.leave.clone(),
        }
    }

    /// Everything that can happen, until no more arrives and some time after that.
    async fn storm(&self) -> (Arrivals, Operator) {
        let world = &self.world;
        let arrivals = tokio::spawn(Arrivals::drawn(world).run());
        // Two, so that one comes too late now and then.
        let [operator, other] = [(); 2].map(|()| tokio::spawn(Operator { world: world.clone() }.run()));
        let outages = tokio::spawn(outages(world.clone()));
        let dependencies = tokio::spawn(dependencies(world.clone()));
        let arrivals = arrivals.await.unwrap();
        world.clock.wait(world.dice.spread(Duration::from_secs(20))).await;
        world.weather.clear_up();
        outages.await.unwrap();
        dependencies.await.unwrap();
        other.await.unwrap();
        let operator = operator.await.unwrap();
        for handler in Handler::ALL {
            operator.resume(handler);
        }
        (arrivals, operator)
    }

    fn note(&mut self, result: Result<(), String>) {
        self.found.extend(result.err());
    }

    async fn rest(&mut self) {
        let rest = rest::comes(&self.world, &self.shown).await;
        self.note(rest);
    }

    /// Somebody decides about every dead letter, again where one comes back.
    async fn clear(&mut self, operator: &Operator) {
        const ROUNDS: usize = 200;
        for _ in 0..ROUNDS {
            let mut letters = 0;
            for handler in Handler::ALL {
                letters += operator.letters(handler).await.len();
                operator.clear(handler).await;
            }
            self.rest().await;
            if letters == 0 || !self.found.is_empty() {
                return;
            }
        }
        self.found.push("there are always new dead letters".to_owned());
    }
}

/// The server goes away and comes back.
async fn outages(world: World) {
    let World { clock, dice, weather, server, .. } = world;
    while let Some(every) = weather.faults().and_then(|faults| faults.outages) {
        clock.wait(dice.spread(every * 2)).await;
        if !weather.is_calm() {
            server.goes_away();
            clock.wait(dice.spread(Duration::from_secs(12))).await;
            server.comes_back();
        }
    }
}

/// What a handler depends on goes down and works again.
async fn dependencies(world: World) {
    let World { clock, dice, weather, modules, trace, .. } = world;
    while let Some(every) = weather.faults().and_then(|faults| faults.dependencies) {
        clock.wait(dice.spread(every * 2)).await;
        if !weather.is_calm() {
            let handler = dice.pick(&Handler::ALL);
            trace.count(Seen::DependencyDown);
            modules.set_down(handler, true);
            clock.wait(dice.spread(Duration::from_secs(20))).await;
            modules.set_down(handler, false);
        }
    }
}

/// Once all hosts have left, and what was still on its way has arrived, nothing runs any more, and nobody has
/// a lease.
async fn leaves_nothing_behind(world: &World) -> Result<(), String> {
    const MYSELF: usize = 1;
    let tasks = Handle::current().metrics();
    for _ in 0..60 {
        if tasks.num_alive_tasks() == MYSELF {
            break;
        }
        world.clock.wait(Duration::from_secs(1)).await;
    }
    if tasks.num_alive_tasks() > MYSELF {
        return Err(format!(
            "{} tasks still run after all hosts have left",
            tasks.num_alive_tasks() - MYSELF
        ));
    }
    for handler in Handler::ALL {
        if let Some(owner) = rest::owners(world, handler).await.into_iter().flatten().next() {
            return Err(format!("{owner} has left and still has a lease of {handler:?}"));
        }
    }
    Ok(())
}
