//! Arrivals: what is published, and when.

use waxwing_engine::port::log::NewEntry;
use waxwing_event::{Headers, outcome::FailureKind};

use super::{
    handler::{Act, Item},
    world::World,
};

/// What asks for something sensible, and what asks for trouble.
const ACTS: [Act; 12] = [
    Act::Both,
    Act::State,
    Act::Emit,
    Act::Even,
    Act::Many,
    Act::Delete,
    Act::Forget,
    Act::Nothing,
    Act::List,
    Act::Reject,
    Act::Large,
    Act::Foreign,
];

/// Publishes the inputs of a run.
pub struct Arrivals {
    world: World,
    acts: Vec<Act>,
    keys: Vec<String>,
    /// How many in a hundred fail at first.
    failing: u64,
    left: u64,
    published: u64,
}

impl Arrivals {
    pub fn drawn(world: &World) -> Arrivals {
        let dice = &world.dice;
        let mut acts: Vec<Act> = ACTS.into_iter().filter(|_| dice.percent(60)).collect();
        acts.extend([Act::Both, Act::Both]);
        let keys = (0..dice.within(1..9)).map(|i| format!("key {i}")).collect();
        let failing = dice.pick(&[0, 5, 20, 60]);
        Arrivals { world: world.clone(), acts, keys, failing, left: dice.within(5..200), published: 0 }
    }

    /// Publishes all inputs, a few at a time.
    pub async fn run(mut self) -> Arrivals {
        let World { dice, clock, .. } = self.world.clone();
        while self.left > 0 {
            clock.wait(dice.spread(std::time::Duration::from_secs(2))).await;
            for _ in 0..dice.within(1..dice.pick(&[2, 10, 80])).min(self.left) {
                self.left -= 1;
                self.publish_any();
            }
        }
        self
    }

    fn publish_any(&mut self) {
        let dice = self.world.dice.clone();
        if dice.percent(2) {
            return self.publish_undecodable();
        }
        let (act, key) = (dice.pick(&self.acts), dice.pick(&self.keys));
        self.publish(act, &key);
    }

    /// One for each key, and as many as may run at once, which wait for each other: they all end only where
    /// nothing holds a key, a state or a place any more.
    pub fn publish_last(&mut self, meeting: u32) {
        for key in self.keys.clone() {
            self.publish(Act::Many, &key);
        }
        for i in 0..meeting {
            self.publish(Act::Meet, &format!("meets {i}"));
        }
    }

    fn publish(&mut self, act: Act, key: &str) {
        self.published += 1;
        let (fails, after_ms) = if act == Act::Meet { (0, None) } else { self.fails() };
        let how = self.world.dice.pick(&[FailureKind::Retry, FailureKind::Trap, FailureKind::Deadline]);
        let item = Item { key: key.to_owned(), n: self.published, act, fails, how, after_ms };
        let mut entry = NewEntry::new("in.item".parse().unwrap(), serde_json::to_vec(&item).unwrap());
        entry.headers = Headers::from_iter([("Nats-Msg-Id", format!("in-{}", self.published))]);
        self.world.server.commit("in", vec![entry]).unwrap();
    }

    /// How many runs fail, and what delay they ask for.
    fn fails(&self) -> (u64, Option<u64>) {
        let dice = &self.world.dice;
        if !dice.percent(self.failing) {
            return (0, None);
        }
        (dice.pick(&[1, 2, 3, 5, 1_000]), dice.pick(&[None, None, None, Some(0), Some(700)]))
    }

    /// An entry that is no event.
    fn publish_undecodable(&mut self) {
        let mut entry = NewEntry::new("in.broken".parse().unwrap(), "not an event");
        entry.headers = Headers::from_iter([("ce-id", "1")]);
        self.world.server.commit("in", vec![entry]).unwrap();
    }
}
