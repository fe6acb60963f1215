//! The engine on the memory log, with handlers in plain Rust: order, exactly-once effects across crashes at
//! any moment, conflicts on state without a key, takeover, and what the log must not lose.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    engine::Drained,
    entry::{Checkpoint, DeadLetter, Layout, Lease},
    port::{
        Invoke, Log,
        clock::SystemClock,
        log::{Entry, NewEntry, Part, commit},
        observe::Unobserved,
    },
};
use waxwing_event::{AppName, HandlerSpec, Headers, Position, Subject, decode};
use waxwing_log::memory::MemoryLog;

use crate::{
    held_log::HeldLog,
    scripted::{Scripted, count},
};

pub fn app() -> AppName {
    "test".parse().unwrap()
}

pub fn spec(key: bool) -> HandlerSpec {
    let mut spec = HandlerSpec::new("count".parse().unwrap(), vec!["in.>".parse().unwrap()]);
    if key {
        spec.key = vec!["data.key".parse().unwrap()];
    }
    spec
}

async fn start(log: &MemoryLog, host: &str, spec: HandlerSpec) -> Engine {
    start_with(log, host, spec, Arc::new(Scripted(count))).await
}

/// A host of one handler on this log, which nobody asks.
pub async fn start_with(log: &MemoryLog, host: &str, spec: HandlerSpec, module: Arc<dyn Invoke>) -> Engine {
    let ports = Ports::new(Arc::new(log.clone()), Arc::new(SystemClock), Arc::new(Unobserved));
    start_on(ports, host, spec, module).await
}

/// A host of one handler on these ports.
pub async fn start_on(ports: Ports, host: &str, spec: HandlerSpec, module: Arc<dyn Invoke>) -> Engine {
    Engine::start(options(host), ports, vec![Hosted::new(spec, module)]).await.unwrap()
}

fn options(host: &str) -> Options {
    let (checkpoint_every, lease) = (Duration::from_millis(20), Duration::from_secs(1));
    Options { checkpoint_every, lease, ..Options::new(app(), host) }
}

pub async fn publish(log: &MemoryLog, key: &str, n: u64, mode: &str) {
    let data = format!(r#"{{"key":"{key}","n":{n},"mode":"{mode}"}}"#);
    let mut entry = NewEntry::new("in.item".parse().unwrap(), data);
    entry.headers = Headers::from_iter([("Nats-Msg-Id", format!("{key}-{n}"))]);
    commit(log, vec![entry]).await.unwrap();
}

/// All entries of a log.
pub async fn all(log: &MemoryLog) -> Vec<Entry> {
    let last = log.bounds().await.unwrap().last;
    let mut reader = log.read(Position(1), &[], Part::Whole).await.unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    while entries.last().is_none_or(|entry| entry.position < last) {
        entries.extend(reader.next(1000).await.unwrap());
    }
    entries
}

/// What came of the inputs: emitted data with its cause, and state.
#[derive(Debug, PartialEq, Eq)]
struct Result {
    emitted: Vec<(String, String)>,
    state: BTreeMap<String, String>,
    dead: Vec<u64>,
}

async fn result(log: &MemoryLog) -> Result {
    let layout = Layout::new(app());
    let handler = "count".parse().unwrap();
    let mut result = Result { emitted: Vec::new(), state: BTreeMap::new(), dead: Vec::new() };
    for entry in all(log).await {
        let text = String::from_utf8_lossy(&entry.payload).into_owned();
        if entry.subject.as_str() == "out.counted" {
            let event =
                decode::event(&entry.subject, entry.position, &entry.headers, &entry.payload).unwrap();
            result.emitted.push((event.causation_id.unwrap(), text));
        } else if let Some(key) = layout.state_key(&handler, &entry.subject) {
            result.state.insert(key, text);
        } else if layout.dead_letters(None).matches(entry.subject.as_str()) {
            result.dead.push(DeadLetter::read(entry).unwrap().about.original.position.0);
        }
    }
    result
}

/// Waits until a checkpoint says that all inputs are handled.
async fn handled_all(log: &MemoryLog) {
    let inputs: Vec<Position> =
        all(log).await.iter().filter(|e| e.subject.as_str() == "in.item").map(|e| e.position).collect();
    let last = *inputs.last().unwrap();
    let checkpoints = ["wx.test.checkpoint.count.0".parse().unwrap()];
    let mut reader = log.read(Position(1), &checkpoints, Part::Whole).await.unwrap();
    let wait = async {
        loop {
            for entry in reader.next(1000).await.unwrap() {
                if Checkpoint::read(&entry).unwrap().watermark >= last {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .expect("every input is handled within a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_runs_in_order_and_exactly_once() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let engine = start(&log, "a", spec(true)).await;
    for n in 0..2_000 {
        publish(&log, &format!("k{}", n % 20), n, "both").await;
    }
    handled_all(&log).await;
    engine.drain(Duration::from_secs(5)).await;
    let result = result(&log).await;
    assert_eq!(result.emitted.len(), 2_000);
    assert!(result.state.values().all(|count| count == "100"));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (_, data) in result.emitted {
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        let expected = counts.entry(data["key"].as_str().unwrap().to_owned()).or_default();
        assert_eq!(data["count"].as_u64(), Some(*expected), "the counts of a key come in order");
        assert_eq!(data["n"].as_u64().unwrap() / 20, *expected);
        *expected += 1;
    }
}

/// Inputs in a seeded mix of modes.
async fn publish_mixed(log: &MemoryLog, random: &mut StdRng, from: u64, key: bool) {
    // What depends on the state before it has a sure end only where there is an order.
    let modes: &[&str] = match key {
        true => &["both", "state", "emit", "none", "fail", "even", "even"],
        false => &["both", "state", "emit", "none", "fail"],
    };
    for n in from..from + 100 {
        let mode = modes[random.random_range(0..modes.len())];
        publish(log, &format!("k{}", random.random_range(0..7)), n, mode).await;
    }
}

/// Runs the same inputs with crashes at random moments and without any, with order by key or without.
async fn survives_crashes(seed: u64, key: bool) {
    println!("seed {seed}, key {key}");
    let run = async |crashes: bool| {
        let log = MemoryLog::new(Arc::new(SystemClock));
        let mut random = StdRng::seed_from_u64(seed);
        for round in 0..8 {
            publish_mixed(&log, &mut random, round * 100, key).await;
            if crashes {
                let engine = start(&log, "a", spec(key)).await;
                for _ in 0..StdRng::seed_from_u64(seed + round).random_range(0..400) {
                    tokio::task::yield_now().await;
                }
                drop(engine);
            }
        }
        let engine = start(&log, "a", spec(key)).await;
        handled_all(&log).await;
        engine.drain(Duration::from_secs(5)).await;
        result(&log).await
    };
    let (mut calm, mut stormy) = (run(false).await, run(true).await);
    if !key {
        // Without a key only the totals are promised.
        for result in [&mut calm, &mut stormy] {
            result.emitted.iter_mut().for_each(|(_, data)| data.clear());
        }
    }
    for result in [&mut calm, &mut stormy] {
        result.emitted.sort();
        result.dead.sort_unstable();
    }
    assert_eq!(calm.state, stormy.state);
    assert_eq!(calm.dead.len(), stormy.dead.len());
    assert_eq!(calm.emitted, stormy.emitted);
}

#[tokio::test]
async fn a_crash_at_any_moment_loses_and_doubles_nothing() {
    let first: u64 = rand::random_range(0..1_000_000);
    for seed in first..first + 15 {
        survives_crashes(seed, true).await;
        survives_crashes(seed, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_on_one_state_key_lose_no_update() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let engine = start(&log, "a", spec(false)).await;
    for n in 0..500 {
        publish(&log, "one", n, "both").await;
    }
    handled_all(&log).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(result(&log).await.state["one"], "500");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undecodable_entry_becomes_a_dead_letter_with_its_bytes() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let mut entry = NewEntry::new("in.item".parse().unwrap(), "payload");
    entry.headers = Headers::from_iter([("ce-id", "1")]);
    commit(&log, vec![entry]).await.unwrap();
    commit(&log, vec![NewEntry::new("in.item".parse().unwrap(), "{}")]).await.unwrap();
    let engine = start(&log, "a", spec(true)).await;
    handled_all(&log).await;
    engine.drain(Duration::from_secs(5)).await;
    let dead: Vec<DeadLetter> = all(&log)
        .await
        .into_iter()
        .filter(|entry| entry.subject.as_str().starts_with("wx.test.dead."))
        .map(|entry| DeadLetter::read(entry).unwrap())
        .collect();
    let reasons: Vec<_> = dead.iter().map(|letter| letter.about.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "the CloudEvents attribute `specversion` is missing or empty",
            "the event has no key: nothing at `data.key`"
        ]
    );
    assert_eq!(dead[0].payload, "payload");
    assert_eq!(dead[0].about.original.event_id.as_deref(), Some("1"));
    assert_eq!(dead[0].about.original.headers, [("ce-id".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn a_host_that_is_drained_while_it_takes_a_lease_gives_it_up() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let held = HeldLog::new(&log, "wx.test.lease.>");
    let ports = Ports::new(held.clone(), Arc::new(SystemClock), Arc::new(Unobserved));
    let engine = start_on(ports, "a", spec(true), Arc::new(Scripted(count))).await;
    held.asked().await;
    held.release(1);
    held.asked().await;
    let (drained, ()) = tokio::join!(engine.drain(Duration::from_secs(60)), async { held.release(9) });
    assert_eq!(drained, Drained::Whole);
    let lease = log.last(&"wx.test.lease.count.0".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(Lease::read(&lease).unwrap().host, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_host_waits_and_takes_over_at_once_after_a_drain_and_in_time_after_a_crash() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let lease: Subject =
        Layout::new(app()).lease(&"count".parse().unwrap(), waxwing_engine::entry::Partition(0));
    let owner = async |log: &MemoryLog| {
        let entry = log.last(&lease).await.unwrap().unwrap();
        String::from_utf8_lossy(&entry.payload).into_owned()
    };
    let first = start(&log, "a", spec(true)).await;
    publish(&log, "k", 0, "both").await;
    handled_all(&log).await;
    // Whose turn it is would otherwise be the hash's to say.
    let standby = async |host: &str| {
        let options = Options { standby: true, ..options(host) };
        let ports = Ports::new(Arc::new(log.clone()), Arc::new(SystemClock), Arc::new(Unobserved));
        Engine::start(options, ports, vec![Hosted::new(spec(true), Arc::new(Scripted(count)))]).await.unwrap()
    };
    let second = standby("b").await;
    assert_eq!(owner(&log).await, r#"{"host":"a"}"#);
    first.drain(Duration::from_secs(5)).await;
    publish(&log, "k", 1, "both").await;
    handled_all(&log).await;
    assert_eq!(owner(&log).await, r#"{"host":"b"}"#);
    drop(second);
    let third = standby("c").await;
    publish(&log, "k", 2, "both").await;
    handled_all(&log).await;
    assert_eq!(owner(&log).await, r#"{"host":"c"}"#);
    third.drain(Duration::from_secs(5)).await;
    assert_eq!(result(&log).await.state["k"], "3");
}
