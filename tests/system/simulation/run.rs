//! A run of the simulation: a storm, a calm in which everything must come to its end, and the check.

use std::{collections::BTreeMap, time::Duration};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use waxwing_engine::{
    engine::Drained,
    entry::{Checkpoint, Layout, Lease, Partition},
    port::Log,
};
use waxwing_event::{Pattern, Position};

use super::{
    app,
    arrivals::Arrivals,
    bug::Bug,
    handler::Handler,
    host::{Host, Settings},
    invariants::violations,
    trace::Seen,
    witness::Witness,
    world::World,
};

/// Until everything must be handled, once it is calm.
const PATIENCE: Duration = Duration::from_secs(600);

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
        let story = tokio::spawn(story(of, settings));
        tokio::select! {
            biased;
            ended = story => ended.unwrap_or_else(|panic| vec![panic.to_string()]),
            () = clock.wait(PATIENCE * 6) => vec!["it does not come to an end".to_owned()],
            () = clock.worn_out() => vec!["it goes round and round".to_owned()],
        }
    });
    Ran { trace: trace.text(), seen: trace.seen(), violations: ran }
}

async fn story(world: World, settings: Settings) -> Vec<String> {
    let (witness, leave) = (Witness::default(), CancellationToken::new());
    let World { clock, dice, weather, .. } = world.clone();
    let names: &[&str] = if dice.percent(70) { &["a", "b"] } else { &["a"] };
    let host = |name| Host {
        name,
        world: world.clone(),
        settings: settings.clone(),
        witness: witness.clone(),
        leave: leave.clone(),
    };
    let arriving = tokio::spawn(Arrivals::drawn(&world).run());
    let hosts: Vec<_> = names.iter().map(|name| tokio::spawn(host(name).live())).collect();
    let outages = tokio::spawn(outages(world.clone()));

    let mut arrivals = arriving.await.unwrap();
    clock.wait(dice.spread(Duration::from_secs(20))).await;
    weather.clear_up();
    world.trace.note("sim", format_args!("it is calm"));
    outages.await.unwrap();

    let mut found = Vec::new();
    found.extend(handles_all(&world).await.err());
    arrivals.publish_last(settings.concurrency);
    found.extend(handles_all(&world).await.err());
    leave.cancel();
    for host in hosts {
        if host.await.unwrap() != Drained::Whole {
            found.push("a host did not finish what was under way".to_owned());
        }
    }
    found.extend(leaves_nothing_behind(&world).await.err());
    found.extend(gives_all_leases_up(&world).await.err());
    found.extend(violations(&world.server, &witness).await);
    found
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

/// Every handler's checkpoint comes to stand at its last input.
async fn handles_all(world: &World) -> Result<(), String> {
    let until = world.clock.elapsed() + PATIENCE;
    loop {
        let mut open = Vec::new();
        for handler in Handler::ALL {
            let (last, stands) = (last_input(world, handler), watermark(world, handler).await);
            if last > stands {
                open.push(format!("{handler:?} stands at {stands}, its last input at {last}"));
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        if world.clock.elapsed() > until {
            return Err(format!("not everything is handled: {}", open.join("; ")));
        }
        world.clock.wait(Duration::from_millis(100)).await;
    }
}

fn last_input(world: &World, handler: Handler) -> Position {
    let on = handler.on();
    let history = world.server.history();
    let last = history.iter().rev().find(|entry| on.matches(entry.subject.as_str()));
    last.map_or(Position::NONE, |entry| entry.position)
}

async fn watermark(world: &World, handler: Handler) -> Position {
    let subject = Layout::new(app()).checkpoint(&handler.name(), Partition(0));
    let entry = world.server.log.last(&subject).await.unwrap();
    entry.map_or(Position::NONE, |entry| Checkpoint::read(&entry).unwrap().watermark)
}

/// Once all hosts have left, and what was still on its way has arrived, nothing runs any more.
async fn leaves_nothing_behind(world: &World) -> Result<(), String> {
    const MYSELF: usize = 1;
    let tasks = Handle::current().metrics();
    for _ in 0..60 {
        if tasks.num_alive_tasks() == MYSELF {
            return Ok(());
        }
        world.clock.wait(Duration::from_secs(1)).await;
    }
    Err(format!("{} tasks still run after all hosts have left", tasks.num_alive_tasks() - MYSELF))
}

async fn gives_all_leases_up(world: &World) -> Result<(), String> {
    for handler in Handler::ALL {
        let subject = Layout::new(app()).lease(&handler.name(), Partition(0));
        let entry = world.server.log.last(&subject).await.unwrap();
        let owner = entry.and_then(|entry| Lease::read(&entry).unwrap().host);
        if let Some(owner) = owner {
            return Err(format!("{owner} has left and still has the lease of {handler:?}"));
        }
    }
    Ok(())
}
