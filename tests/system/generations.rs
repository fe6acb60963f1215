//! Generations on the memory log, with handlers in plain Rust: hosts, builders and switches that end at any moment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::{sync::watch, task::yield_now};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    entry::{
        Checkpoint, Layout, Partition,
        generation::{Generation, Generations, Kind, Other},
        state,
    },
    generations::{
        self, Build, Role,
        standstill::Asks,
        switch::{Handover, Switch},
    },
    port::{Invoke, Log, clock::SystemClock, log::commit, observe::Unobserved},
};
use waxwing_event::{HandlerName, Position, decode};
use waxwing_log::memory::MemoryLog;

use crate::{
    app::PATIENCE,
    engine::{all, app, publish, spec},
    scripted::{Scripted, count},
};

/// Rounds of a story: in each, something ends in the midst of things.
const ROUNDS: u64 = 6;

/// Inputs that come in a round.
const INPUTS: u64 = 60;

fn name() -> HandlerName {
    "count".parse().unwrap()
}

/// A story, told by chance.
struct Story {
    log: MemoryLog,
    random: StdRng,
    layout: Layout,
}

impl Story {
    fn new(seed: u64) -> Story {
        let log = MemoryLog::new(Arc::new(SystemClock));
        Story { log, random: StdRng::seed_from_u64(seed), layout: Layout::new(app()) }
    }

    async fn publish(&mut self, from: u64) {
        for n in from..from + INPUTS {
            let mode = ["both", "state", "emit", "none", "even"].choose(&mut self.random).unwrap();
            let key = format!("k{}", self.random.random_range(0..7));
            publish(&self.log, &key, n, mode).await;
        }
    }

    fn ports(&self) -> Ports {
        Ports::new(Arc::new(self.log.clone()), Arc::new(SystemClock), Arc::new(Unobserved))
    }

    async fn start(&self, host: &str, role: Role) -> Engine {
        let options = Options {
            checkpoint_every: Duration::from_millis(20),
            lease: Duration::from_secs(1),
            ..Options::new(app(), host)
        };
        let module = Arc::new(Scripted(count));
        Engine::start(options, self.ports(), vec![Hosted { role, ..Hosted::new(spec(true), module) }])
            .await
            .unwrap()
    }

    async fn generations(&self) -> (Generations, Position) {
        generations::look(&self.log, &self.layout, &name()).await.unwrap()
    }

    async fn write(&self, generations: &Generations, position: Position) -> Position {
        let entry = generations.write(self.layout.generations(&name()), position);
        commit(&self.log, vec![entry]).await.unwrap().last
    }

    /// The generation to build: that which is there, or another in its place.
    async fn other(&mut self) -> Generation {
        let (before, mut position) = self.generations().await;
        if let Some(other) = before.other.clone() {
            if self.random.random_bool(0.6) {
                return other.generation;
            }
            let removed = Other { kind: Kind::Removed, ..other.clone() };
            position = self.write(&before.with_other(Some(removed)), position).await;
            generations::remove(&self.log, &self.layout, &name(), other.generation).await.unwrap();
        }
        let generation = before.fresh();
        let other = Other { generation, module: None, kind: Kind::Built };
        self.write(&before.with_other(Some(other)), position).await;
        generation
    }

    async fn watermark(&self, generation: Generation) -> Position {
        let layout = self.layout.at(&name(), generation);
        let entry = self.log.last(&layout.checkpoint(&name(), Partition(0))).await.unwrap();
        entry.map_or(Position::NONE, |entry| Checkpoint::read(&entry).unwrap().watermark)
    }

    /// Lets time pass, not too little of it.
    async fn pass(&mut self, most: u32) {
        for _ in 0..self.random.random_range(0..most) {
            yield_now().await;
        }
    }

    fn switch(&self) -> Switch {
        Switch {
            asks: Asks {
                ports: self.ports(),
                layout: self.layout.clone(),
                events: Vec::new(),
                spec: Arc::new(spec(true)),
                host: "b".to_owned(),
                lease: Duration::from_secs(1),
            },
            module: Scripted(count).digest(),
            leaves_what_waits: false,
        }
    }

    /// A host and a builder at work; the builder may switch. All of it ends at some moment.
    async fn round(&mut self) -> bool {
        let host = self.start("a", Role::Live).await;
        let (live, other) = (self.generations().await.0.live, self.other().await);
        let (sender, until) = watch::channel(self.watermark(live).await);
        let builder = self.start("b", Role::Builds(Build { generation: other, until })).await;
        let (log, layout) = (self.log.clone(), self.layout.at(&name(), live));
        let follow = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let entry = log.last(&layout.checkpoint(&name(), Partition(0))).await.unwrap();
                sender.send_replace(
                    entry.map_or(Position::NONE, |entry| Checkpoint::read(&entry).unwrap().watermark),
                );
                yield_now().await;
            }
        }));
        self.pass(2_000).await;
        let (switch, stop) = (self.switch(), CancellationToken::new());
        let switched = match self.random.random_range(0..4) {
            // The builder alone is gone.
            0 => {
                drop(builder);
                self.pass(500).await;
                false
            }
            ends @ (1 | 2) => {
                builder.drain(PATIENCE).await;
                let steps = if ends == 1 { self.random.random_range(0..300) } else { u32::MAX };
                tokio::select! {
                    biased;
                    handover = switch.begin(other, &stop) => end(handover.unwrap(), ends == 2).await,
                    () = passes(steps) => false,
                }
            }
            _ => {
                builder.drain(PATIENCE).await;
                let handover = switch.begin(other, &stop).await.unwrap();
                self.pass(100).await;
                drop(handover);
                false
            }
        };
        self.pass(500).await;
        drop((follow, host));
        switched
    }

    /// What has come of it all: emitted data with its cause, and the live state.
    async fn result(&self) -> (Vec<(String, String)>, BTreeMap<String, String>) {
        let layout = generations::live(&self.log, &self.layout, &name()).await.unwrap();
        let (mut emitted, mut states) = (Vec::new(), BTreeMap::new());
        for entry in all(&self.log).await {
            let text = String::from_utf8_lossy(&entry.payload).into_owned();
            if entry.subject.as_str() == "out.counted" {
                let event = decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload);
                emitted.push((event.unwrap().causation_id.unwrap(), text));
            } else if let Some(key) = layout.state_key(&name(), &entry.subject) {
                states.insert(key, state::value(entry).map(|_| text).unwrap());
            }
        }
        emitted.sort();
        (emitted, states)
    }

    /// A host finishes what there is.
    async fn finish(&self) {
        let host = self.start("a", Role::Live).await;
        let last = all(&self.log)
            .await
            .iter()
            .filter(|entry| entry.subject.as_str() == "in.item")
            .map(|e| e.position)
            .max();
        let wait = async {
            while self.watermark(self.generations().await.0.live).await < last.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("every input is handled");
        host.drain(PATIENCE).await;
    }
}

async fn passes(steps: u32) {
    for _ in 0..steps {
        yield_now().await;
    }
}

async fn end(handover: Handover<'_>, finishes: bool) -> bool {
    if finishes {
        handover.finish(Vec::new()).await.unwrap();
    } else {
        handover.give_up().await;
    }
    finishes
}

async fn is_as_if_nothing_had_happened(seed: u64) -> u32 {
    let (mut calm, mut stormy) = (Story::new(seed), Story::new(seed));
    let mut switched = 0;
    // By chance the same inputs.
    for round in 0..ROUNDS {
        calm.publish(round * INPUTS).await;
    }
    let mut inputs = Story::new(seed).random;
    for round in 0..ROUNDS {
        std::mem::swap(&mut inputs, &mut stormy.random);
        stormy.publish(round * INPUTS).await;
        std::mem::swap(&mut inputs, &mut stormy.random);
        switched += u32::from(stormy.round().await);
    }
    calm.finish().await;
    stormy.finish().await;
    assert_eq!(stormy.result().await, calm.result().await, "seed {seed}");
    switched
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_when_all_is_as_if_nothing_had_happened() {
    let stories = (0..24).map(|seed| tokio::spawn(is_as_if_nothing_had_happened(seed)));
    let mut switched = 0;
    for story in stories.collect::<Vec<_>>() {
        switched += tokio::time::timeout(PATIENCE.saturating_mul(4), story).await.unwrap().unwrap();
    }
    assert!(switched >= 24, "{switched} switches are too few to tell");
}
