//! Rest: when nothing more can happen by itself, and what the hosts must show then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use waxwing_engine::{
    entry::{Checkpoint, DeadLetter, Layout, Lease, Partition, parked, tombstone},
    gauges::Gauges,
    generations,
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::{Pattern, Position};

use super::{app, handler::Handler, host::Shown, world::World};

/// Until everything must have come to rest, once it is calm.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// What waits in the log for one handler.
struct Waiting {
    /// Parked events with their keys.
    parked: Vec<(Position, Option<String>)>,
    /// Of each held key, the oldest dead letter that holds it.
    held: BTreeMap<String, Position>,
}

impl Waiting {
    async fn of(world: &World, handler: Handler) -> Waiting {
        let (layout, name) = (Layout::new(app()), handler.name());
        let parked = standing(world, &layout.all_parked(Some(&name))).await.into_iter().map(|entry| {
            let original = parked::About::read(&entry).unwrap().original;
            (original.position, original.key)
        });
        let mut held: BTreeMap<String, Position> = BTreeMap::new();
        for entry in standing(world, &layout.dead_letters(Some(&name))).await {
            let about = DeadLetter::read(entry).unwrap().about;
            if let Some(key) = about.original.key.filter(|_| about.holds_key) {
                let oldest = held.entry(key).or_insert(about.original.position);
                *oldest = about.original.position.min(*oldest);
            }
        }
        Waiting { parked: parked.collect(), held }
    }

    /// The parked events that nothing holds.
    fn free(&self) -> Vec<Position> {
        let held = |position, key: &Option<String>| {
            key.as_ref().and_then(|key| self.held.get(key)).is_some_and(|letter| *letter < position)
        };
        self.parked.iter().filter(|(p, key)| !held(*p, key)).map(|(p, _)| *p).collect()
    }

    fn keys(&self) -> usize {
        let parked = self.parked.iter().filter_map(|(_, key)| key.as_ref());
        parked.chain(self.held.keys()).collect::<BTreeSet<_>>().len()
    }
}

async fn standing(world: &World, subjects: &Pattern) -> Vec<Entry> {
    let mut entries = world.server.log.last_of_each(subjects, Part::Headers, usize::MAX).await.unwrap();
    entries.retain(|entry| !tombstone::is(entry));
    entries
}

/// Waits until every handler's checkpoint stands at its last input, nothing is parked but what a dead letter
/// holds, and the owners have in mind what waits in the log, no more.
pub async fn comes(world: &World, shown: &Shown) -> Result<(), String> {
    let began = world.clock.elapsed();
    loop {
        let waited = world.clock.elapsed() - began;
        let mut open = Vec::new();
        for handler in Handler::ALL {
            let why = unrest(world, shown, handler).await.err();
            // An outage lasts until something works, and it may be that nothing would before the module is fixed.
            let is_in_vain =
                waited > PATIENCE / 2 && !world.modules.are_fixed() && in_outage(world, shown, handler).await;
            open.extend(why.filter(|_| !is_in_vain));
        }
        if open.is_empty() {
            return Ok(());
        }
        if waited > PATIENCE {
            return Err(format!("no rest: {}", open.join("; ")));
        }
        world.clock.wait(Duration::from_millis(200)).await;
    }
}

async fn unrest(world: &World, shown: &Shown, handler: Handler) -> Result<(), String> {
    let (last, stands) = (last_input(world, handler), watermark(world, handler).await);
    if last > stands {
        return Err(format!("{handler:?} stands at {stands}, its last input at {last}"));
    }
    let waiting = Waiting::of(world, handler).await;
    let free = waiting.free();
    if !free.is_empty() {
        return Err(format!("{handler:?} has parked {free:?}"));
    }
    let owners = owners(world, handler).await;
    if owners.iter().any(Option::is_none) {
        return Err(format!("{handler:?} has the owners {owners:?}"));
    }
    compare(&waiting, &gauges_of(shown, &owners, handler))
        .map_err(|why| format!("{owners:?} show {why} of {handler:?}"))
}

async fn in_outage(world: &World, shown: &Shown, handler: Handler) -> bool {
    let gauges = gauges_of(shown, &owners(world, handler).await, handler);
    gauges.iter().any(|gauges| Gauges::read(&gauges.outage) == 1)
}

/// What the owners of a handler's partitions show of them.
fn gauges_of(shown: &Shown, owners: &[Option<String>], handler: Handler) -> Vec<Arc<Gauges>> {
    let shown = shown.lock().unwrap();
    let of = |(number, owner): (usize, &Option<String>)| {
        let (_, gauges) = shown.get(owner.as_ref()?)?.iter().find(|(name, _)| *name == handler.name())?;
        gauges.all().get(number).cloned()
    };
    owners.iter().enumerate().filter_map(of).collect()
}

/// At rest nothing is under way, and as much waits as the log says.
fn compare(waiting: &Waiting, partitions: &[Arc<Gauges>]) -> Result<(), String> {
    let sum = |gauge: fn(&Gauges) -> &AtomicU64| {
        partitions.iter().map(|gauges| Gauges::read(gauge(gauges))).sum::<u64>()
    };
    for (what, found, expected) in [
        ("events under way", sum(|gauges| &gauges.under_way), 0),
        ("inputs in the window", sum(|gauges| &gauges.window), 0),
        ("bytes in the window", sum(|gauges| &gauges.window_bytes), 0),
        ("lanes", sum(|gauges| &gauges.lanes), waiting.keys()),
        ("parked events", sum(|gauges| &gauges.parked), waiting.parked.len()),
        ("keys that wait", sum(|gauges| &gauges.parked_keys), waiting.keys()),
        ("pauses", sum(|gauges| &gauges.paused), 0),
    ] {
        if found != expected as u64 {
            return Err(format!("{found} {what}, expected {expected}"));
        }
    }
    Ok(())
}

fn last_input(world: &World, handler: Handler) -> Position {
    let on = handler.on();
    let history = world.server.history();
    let last = history.iter().rev().flatten().find(|entry| on.matches(entry.subject.as_str()));
    last.map_or(Position::NONE, |entry| entry.position)
}

/// Up to where all partitions have handled everything.
async fn watermark(world: &World, handler: Handler) -> Position {
    let mut lowest = Position(u64::MAX);
    for partition in partitions(world, handler).await {
        let subject = Layout::new(app()).checkpoint(&handler.name(), partition);
        let entry = world.server.log.last(&subject).await.unwrap();
        let watermark = entry.map_or(Position::NONE, |entry| Checkpoint::read(&entry).unwrap().watermark);
        lowest = lowest.min(watermark);
    }
    lowest
}

/// Who has the leases of a handler, by partition.
pub async fn owners(world: &World, handler: Handler) -> Vec<Option<String>> {
    let mut owners = Vec::new();
    for partition in partitions(world, handler).await {
        let subject = Layout::new(app()).lease(&handler.name(), partition);
        let entry = world.server.log.last(&subject).await.unwrap();
        owners.push(entry.and_then(|entry| Lease::read(&entry).unwrap().host));
    }
    owners
}

async fn partitions(world: &World, handler: Handler) -> Vec<Partition> {
    let look = generations::look(&world.server.log, &Layout::new(app()), &handler.name()).await;
    look.unwrap().0.partitions.all().collect()
}
