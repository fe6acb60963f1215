//! The operator: pauses handlers, and redrives, archives and edits dead letters, as the command line does.

use std::time::Duration;

use waxwing_engine::{
    entry::{DeadLetter, Layout, operator, tombstone},
    port::{
        Clock, Log,
        log::{Entry, NewEntry, Part},
    },
};
use waxwing_event::outcome::FailureKind;

use super::{
    app,
    clock::WallClock,
    handler::{Act, Handler, Item},
    server::MAX_ENTRY_BYTES,
    trace::Seen,
    world::World,
};

/// Somebody at the command line.
pub struct Operator {
    pub world: World,
}

impl Operator {
    /// Does this and that, as long as there are faults.
    pub async fn run(self) -> Operator {
        let World { dice, clock, weather, .. } = self.world.clone();
        while let Some(every) = weather.faults().and_then(|faults| faults.operators) {
            clock.wait(dice.spread(every)).await;
            let handler = dice.pick(&Handler::ALL);
            match dice.within(0..6) {
                _ if weather.is_calm() => break,
                0 => self.pause(handler),
                1 => self.resume(handler),
                _ => self.decide_about_one(handler).await,
            }
        }
        self
    }

    fn pause(&self, handler: Handler) {
        self.world.trace.count(Seen::HandlerPaused);
        let now = self.clock().now();
        self.write(vec![operator::pause(Layout::new(app()).paused(&handler.name()), now)]);
    }

    pub fn resume(&self, handler: Handler) {
        self.write(vec![operator::resume(Layout::new(app()).paused(&handler.name()))]);
    }

    /// Looks at a dead letter and does something about it, perhaps too late.
    async fn decide_about_one(&self, handler: Handler) {
        let World { dice, clock, .. } = &self.world;
        let mut letters = self.letters(handler).await;
        if letters.is_empty() {
            return;
        }
        // Often that which others see first, too.
        let letter = if dice.percent(50) { letters.swap_remove(0) } else { dice.pick(&letters) };
        clock.wait(dice.spread(Duration::from_secs(2))).await;
        match dice.within(0..4) {
            0 => self.archive(&letter),
            1 => self.edit(&letter),
            _ => self.redrive(&letter),
        }
    }

    /// Redrives or archives every dead letter.
    pub async fn clear(&self, handler: Handler) {
        for letter in self.letters(handler).await {
            let kind = DeadLetter::read(letter.clone()).unwrap().about.kind;
            let in_vain = matches!(kind, FailureKind::Decode | FailureKind::Effects);
            if in_vain || self.world.dice.percent(10) {
                self.archive(&letter);
            } else {
                self.redrive(&letter);
            }
        }
    }

    /// The dead letters of a handler.
    pub async fn letters(&self, handler: Handler) -> Vec<Entry> {
        let letters = Layout::new(app()).dead_letters(Some(&handler.name()));
        let mut found = self.world.server.log.last_of_each(&letters, Part::Whole, usize::MAX).await.unwrap();
        found.retain(|entry| !tombstone::is(entry));
        found
    }

    fn redrive(&self, entry: &Entry) {
        self.world.trace.count(Seen::Redrive);
        let letter = DeadLetter::read(entry.clone()).unwrap();
        let now = self.clock().now();
        self.write(operator::redrive(&Layout::new(app()), entry, letter, now, MAX_ENTRY_BYTES));
    }

    fn archive(&self, entry: &Entry) {
        self.world.trace.count(Seen::Archive);
        let letter = DeadLetter::read(entry.clone()).unwrap();
        self.write(operator::archive(&Layout::new(app()), entry, letter, MAX_ENTRY_BYTES));
    }

    /// Makes of the event one that does not fail.
    fn edit(&self, entry: &Entry) {
        let mut letter = DeadLetter::read(entry.clone()).unwrap();
        let Ok(item) = serde_json::from_slice::<Item>(&letter.payload) else { return };
        self.world.trace.count(Seen::Edit);
        let item = Item { act: Act::Both, fails: 0, ..item };
        letter.payload = serde_json::to_vec(&item).unwrap().into();
        self.write(operator::edit(entry, letter, MAX_ENTRY_BYTES));
    }

    /// What has changed meanwhile is left alone.
    fn write(&self, entries: Vec<NewEntry>) {
        if self.world.server.is_here() && self.world.server.commit("op", entries).is_err() {
            self.world.trace.count(Seen::OperatorRefused);
        }
    }

    fn clock(&self) -> WallClock {
        WallClock { time: self.world.clock.clone(), wrong_by: jiff::SignedDuration::ZERO }
    }
}
