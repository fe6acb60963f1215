//! Rest: when nothing more can happen by itself, and what the hosts must show then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use waxwing_engine::{
    entry::{Checkpoint, DeadLetter, Layout, Lease, Partition, parked, tombstone},
    gauges::Gauges,
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
    let owner = owner(world, handler).await.ok_or_else(|| format!("{handler:?} has no owner"))?;
    let gauges = gauges_of(shown, &owner, handler).ok_or_else(|| format!("{owner} does not run"))?;
    compare(&waiting, &gauges).map_err(|why| format!("{owner} shows {why} of {handler:?}"))
}

async fn in_outage(world: &World, shown: &Shown, handler: Handler) -> bool {
    let gauges = owner(world, handler).await.and_then(|owner| gauges_of(shown, &owner, handler));
    gauges.is_some_and(|gauges| Gauges::read(&gauges.outage) == 1)
}

fn gauges_of(shown: &Shown, host: &str, handler: Handler) -> Option<Arc<Gauges>> {
    let shown = shown.lock().unwrap();
    let of_host = shown.get(host)?.iter();
    of_host.filter(|(name, _)| *name == handler.name()).map(|(_, gauges)| gauges.clone()).next()
}

/// At rest nothing is under way, and as much waits as the log says.
fn compare(waiting: &Waiting, gauges: &Gauges) -> Result<(), String> {
    for (what, gauge, expected) in [
        ("events under way", &gauges.under_way, 0),
        ("inputs in the window", &gauges.window, 0),
        ("bytes in the window", &gauges.window_bytes, 0),
        ("lanes", &gauges.lanes, waiting.keys()),
        ("parked events", &gauges.parked, waiting.parked.len()),
        ("keys that wait", &gauges.parked_keys, waiting.keys()),
        ("pauses", &gauges.paused, 0),
    ] {
        let found = Gauges::read(gauge);
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

async fn watermark(world: &World, handler: Handler) -> Position {
    let subject = Layout::new(app()).checkpoint(&handler.name(), Partition(0));
    let entry = world.server.log.last(&subject).await.unwrap();
    entry.map_or(Position::NONE, |entry| Checkpoint::read(&entry).unwrap().watermark)
}

/// Who has the lease of a handler.
pub async fn owner(world: &World, handler: Handler) -> Option<String> {
    let subject = Layout::new(app()).lease(&handler.name(), Partition(0));
    let entry = world.server.log.last(&subject).await.unwrap()?;
    Lease::read(&entry).unwrap().host
}
