//! One life of a host's process, from its start to its end: it can be paused, and it can die between any two
//! of its steps.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{gate::Gate, trace::Seen, world::World};

/// One life of a host's process.
pub struct Life {
    pub name: String,
    pub world: World,
    /// Steps until the next incident; none: there is none.
    fuse: Mutex<Option<u64>>,
    awake: Gate,
    dead: CancellationToken,
}

/// The process is no more.
#[derive(Debug)]
pub struct Dead;

impl Life {
    pub fn begin(name: String, world: &World) -> Arc<Life> {
        let dice = &world.dice;
        let incident = world.weather.faults().filter(|faults| dice.percent(faults.incidents));
        let fuse = Mutex::new(incident.map(|faults| dice.within(1..faults.steps)));
        world.trace.note(&name, format_args!("begins"));
        Arc::new(Life {
            name,
            world: world.clone(),
            fuse,
            awake: Gate::default(),
            dead: CancellationToken::new(),
        })
    }

    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.world.trace.note(&self.name, what);
    }

    /// The process does something with the world, unless it dies just before.
    pub fn step(self: &Arc<Self>, seen: Seen) -> Result<(), Dead> {
        if self.is_dead() {
            return Err(Dead);
        }
        let Some(faults) = self.world.weather.faults() else { return Ok(()) };
        if !self.burns_down(faults.steps) {
            return Ok(());
        }
        if self.world.dice.percent(faults.crashes) {
            self.die(seen);
            return Err(Dead);
        }
        self.pauses();
        Ok(())
    }

    /// One step nearer to an incident; true where it is there.
    fn burns_down(&self, steps: u64) -> bool {
        let mut fuse = self.fuse.lock().unwrap();
        let Some(left) = fuse.as_mut() else { return false };
        *left -= 1;
        let there = *left == 0;
        if there {
            *left = self.world.dice.within(1..steps);
        }
        there
    }

    pub fn die(&self, seen: Seen) {
        if !self.is_dead() {
            self.note(format_args!("dies: {seen:?}"));
            self.world.trace.count(seen);
            self.dead.cancel();
        }
    }

    pub fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Returns when the process is no more.
    pub async fn end(&self) {
        self.dead.cancelled().await;
    }

    /// A paused process does nothing and notices nothing, not even that time goes by.
    pub fn pauses(self: &Arc<Self>) {
        self.note(format_args!("is paused"));
        self.world.trace.count(Seen::Pause);
        self.awake.shut();
        let life = self.clone();
        tokio::spawn(async move {
            let World { dice, clock, .. } = &life.world;
            clock.wait(dice.spread(Duration::from_secs(16))).await;
            life.wake();
        });
    }

    pub fn wake(&self) {
        if !self.is_awake() {
            self.note(format_args!("wakes up"));
            self.awake.open();
        }
    }

    pub fn is_awake(&self) -> bool {
        self.awake.is_open()
    }

    /// Waits until the process is awake.
    pub async fn awake(&self) -> Result<(), Dead> {
        tokio::select! {
            biased;
            () = self.dead.cancelled() => Err(Dead),
            () = self.awake.pass() => Ok(()),
        }
    }
}
