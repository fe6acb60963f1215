//! Timers: they fire once, in their time and under their key, and never when they were cancelled.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use waxwing_engine::{
    Engine,
    entry::{DeadLetter, Layout, operator, timer, tombstone},
    gauges::Gauges,
    port::{
        Log,
        log::{Entry, NewEntry, commit},
    },
};
use waxwing_event::{
    Due, Failure, HandlerName, HandlerSpec, NewTimer, Position, TimerChange,
    handler::{OutagePolicy, RetryPolicy},
    outcome::FailureKind,
};
use waxwing_log::memory::MemoryLog;

use crate::{
    app::{App, Input, PATIENCE},
    engine::{all, app, start_with},
    failing::until,
    scripted::{Script, Scripted},
};

/// A handler with timers, on a log in memory.
#[derive(Clone)]
struct Bed {
    log: MemoryLog,
    spec: HandlerSpec,
    /// So many of the runs of timers fail.
    failures: Arc<AtomicU32>,
    /// Runs of timers so far.
    runs: Arc<AtomicU64>,
    /// A run of an event `hold` ends when it gets a permit.
    gate: Arc<Semaphore>,
}

impl Bed {
    fn new() -> Bed {
        let mut spec = HandlerSpec::new("wake".parse().unwrap(), vec!["in.>".parse().unwrap()]);
        spec.key = vec!["data.key".parse().unwrap()];
        let ms = Duration::from_millis;
        spec.retry = RetryPolicy { attempts: 3, immediate: 1, first: ms(5), most: ms(20) };
        spec.outage = OutagePolicy { after: 0, probe: ms(50) };
        Bed {
            log: MemoryLog::new(Arc::new(waxwing_engine::port::clock::SystemClock)),
            spec,
            failures: Arc::default(),
            runs: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn start(&self, host: &str) -> Engine {
        let bed = self.clone();
        let module = Scripted(move |script| bed.clone().handle(script));
        start_with(&self.log, host, self.spec.clone(), Arc::new(module)).await
    }

    /// The last word of the subject says what an event does: `set`, `cancel`, `hold`, or `forever`: a timer that
    /// sets itself anew.
    async fn handle(self, mut script: Script) -> Result<Script, Failure> {
        let data: Value = serde_json::from_slice(&script.event.data).unwrap();
        if script.event.event_type == timer::EVENT_TYPE {
            self.runs.fetch_add(1, SeqCst);
            if self.failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Err(Failure::new(FailureKind::Retry, "not yet"));
            }
            let id = script.event.about.clone().unwrap();
            if data["again"] == json!(true) {
                set(&mut script, &id, Duration::from_millis(1), &data);
            }
            let said = json!({ "id": id, "key": script.event.key, "from": data["from"] });
            script.emit("out.fired", said.to_string());
            return Ok(script);
        }
        let id = data["id"].as_str().unwrap().to_owned();
        let wait = Duration::from_millis(data["ms"].as_u64().unwrap_or_default());
        match script.event.subject.as_str().rsplit('.').next().unwrap() {
            "set" => {
                let from = json!({ "from": script.event.id });
                set(&mut script, &id, wait, &from);
            }
            "forever" => set(&mut script, &id, wait, &json!({ "again": true })),
            "cancel" => drop(script.effects.timers.insert(id, TimerChange::Cancel)),
            "hold" => {
                self.gate.acquire().await.unwrap().forget();
                script.effects.timers.insert(id, TimerChange::Cancel);
            }
            other => panic!("{other}"),
        }
        Ok(script)
    }

    async fn publish(&self, what: &str, key: &str, id: &str, ms: u64) -> Position {
        let data = json!({ "key": key, "id": id, "ms": ms });
        let entry = NewEntry::new(format!("in.{what}").parse().unwrap(), data.to_string());
        commit(&self.log, vec![entry]).await.unwrap().last
    }

    async fn entries(&self, subjects: &str) -> Vec<Entry> {
        let pattern: waxwing_event::Pattern = subjects.parse().unwrap();
        let living = |entry: &Entry| pattern.matches(entry.subject.as_str()) && !tombstone::is(entry);
        all(&self.log).await.into_iter().filter(living).collect()
    }

    /// What has fired, in order: ids with their keys.
    async fn fired(&self) -> Vec<(String, String)> {
        let fired = self.entries("out.fired").await.into_iter().map(|entry| {
            let said: Value = serde_json::from_slice(&entry.payload).unwrap();
            (said["id"].as_str().unwrap().to_owned(), said["key"].as_str().unwrap_or_default().to_owned())
        });
        fired.collect()
    }

    async fn until(&self, wanted: impl AsyncFn() -> bool) {
        let wait = async {
            while !wanted().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it comes to pass");
    }

    async fn handled(&self, position: Position) {
        crate::app::handled(&self.log, &Layout::new(app()), "wake", position).await;
    }
}

fn set(script: &mut Script, id: &str, wait: Duration, data: &Value) {
    let data = data.to_string().into();
    let timer = NewTimer { due: Due::After(wait), data, content_type: None };
    script.effects.timers.insert(id.to_owned(), TimerChange::Set(timer));
}

fn pairs(ids: &[&str]) -> Vec<(String, String)> {
    ids.iter().map(|id| ((*id).to_owned(), "k".to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fire_once_in_their_order_and_leave_nothing() {
    let bed = Bed::new();
    let engine = bed.start("a").await;
    for (id, ms) in [("third", 90), ("first", 1), ("second", 40)] {
        bed.publish("set", "k", id, ms).await;
    }
    bed.until(async || bed.fired().await.len() == 3).await;
    assert_eq!(bed.fired().await, pairs(&["first", "second", "third"]));
    let gauges = engine.gauges()[0].1.first().clone();
    engine.drain(PATIENCE).await;
    assert!(bed.entries("wx.test.timer.>").await.is_empty());
    assert_eq!((Gauges::read(&gauges.timers), Gauges::read(&gauges.timers_fired)), (0, 3));
    let fired = bed.entries("out.fired").await;
    let cause: Vec<_> =
        bed.entries("in.>").await.iter().map(|entry| format!("log-{}", entry.position)).collect();
    for entry in fired {
        let said: Value = serde_json::from_slice(&entry.payload).unwrap();
        assert!(cause.contains(&said["from"].as_str().unwrap().to_owned()));
        assert_eq!(entry.headers.get("ce-correlationid"), said["from"].as_str(), "it is inherited");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_ones_never_fire_and_those_set_anew_fire_once() {
    let bed = Bed::new();
    let engine = bed.start("a").await;
    bed.publish("set", "k", "gone", 150).await;
    bed.publish("set", "k", "later", 1).await;
    bed.publish("set", "k", "later", 200).await;
    bed.publish("cancel", "k", "gone", 0).await;
    bed.publish("cancel", "k", "nobody", 0).await;
    bed.publish("set", "k", "last", 300).await;
    bed.until(async || bed.fired().await.iter().any(|(id, _)| id == "last")).await;
    engine.drain(PATIENCE).await;
    let ids: Vec<String> = bed.fired().await.into_iter().map(|(id, _)| id).collect();
    assert!(ids.iter().all(|id| id != "gone"), "{ids:?}");
    assert!((1..=2).contains(&ids.iter().filter(|id| *id == "later").count()), "{ids:?}");
    assert!(bed.entries("wx.test.timer.>").await.is_empty());
}

/// The timer's event waits in its lane while the run before it cancels it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_fired_and_is_cancelled_before_its_run_has_no_effect() {
    let bed = Bed::new();
    let engine = bed.start("a").await;
    let gauges = engine.gauges()[0].1.first().clone();
    bed.publish("set", "k", "late", 30).await;
    let hold = bed.publish("hold", "k", "late", 0).await;
    bed.until(async || Gauges::read(&gauges.timers_fired) == 1).await;
    bed.gate.add_permits(1);
    bed.handled(hold).await;
    bed.until(async || Gauges::read(&gauges.timers_too_late) == 1).await;
    engine.drain(PATIENCE).await;
    assert_eq!((bed.fired().await, bed.runs.load(SeqCst)), (Vec::new(), 0));
    assert!(bed.entries("wx.test.timer.>").await.is_empty());
    assert_eq!(Gauges::read(&gauges.timers), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_tried_again_then_dead_and_may_be_redriven() {
    let bed = Bed::new();
    let engine = bed.start("a").await;
    bed.failures.store(2, SeqCst);
    bed.publish("set", "k", "second", 1).await;
    bed.until(async || bed.fired().await.len() == 1).await;
    assert_eq!(bed.runs.load(SeqCst), 3);
    bed.failures.store(3, SeqCst);
    bed.publish("set", "k", "poison", 1).await;
    let letters = async || bed.entries("wx.test.dead.>").await;
    bed.until(async || letters().await.len() == 1).await;
    assert!(
        bed.entries("wx.test.timer.>").await.is_empty() && bed.entries("wx.test.parked.>").await.is_empty()
    );
    let entry = letters().await.remove(0);
    let letter = DeadLetter::read(entry.clone()).unwrap();
    assert_eq!(letter.about.original.key.as_deref(), Some("k"));
    let now = Timestamp::now();
    let redrive = operator::redrive(&Layout::new(app()), &entry, letter, now, bed.log.max_entry_bytes());
    commit(&bed.log, redrive).await.unwrap();
    bed.until(async || bed.fired().await.len() == 2).await;
    engine.drain(PATIENCE).await;
    assert_eq!(bed.fired().await, pairs(&["second", "poison"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_its_next_attempt_can_be_cancelled() {
    let mut bed = Bed::new();
    bed.spec.key = Vec::new();
    let long = Duration::from_secs(3600);
    bed.spec.retry = RetryPolicy { attempts: 3, immediate: 1, first: long, most: long };
    bed.failures.store(1, SeqCst);
    let engine = bed.start("a").await;
    bed.publish("set", "k", "waits", 1).await;
    bed.until(async || bed.entries("wx.test.parked.>").await.len() == 1).await;
    drop(engine);
    let engine = bed.start("b").await;
    let cancel = bed.publish("cancel", "k", "waits", 0).await;
    bed.handled(cancel).await;
    bed.until(async || bed.entries("wx.test.parked.>").await.is_empty()).await;
    let gauges = engine.gauges()[0].1.first().clone();
    bed.until(async || Gauges::read(&gauges.parked) == 0 && Gauges::read(&gauges.timers) == 0).await;
    engine.drain(PATIENCE).await;
    assert_eq!(bed.fired().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_may_be_set_as_the_limit_says() {
    let mut bed = Bed::new();
    bed.spec.limits.timers = 2;
    let engine = bed.start("a").await;
    for id in ["a", "b", "a"] {
        bed.publish("set", "k", id, 3_600_000).await;
    }
    let last = bed.publish("set", "other", "c", 3_600_000).await;
    bed.handled(last).await;
    engine.drain(PATIENCE).await;
    let letters = bed.entries("wx.test.dead.>").await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    let about = DeadLetter::read(letter.clone()).unwrap().about;
    assert_eq!((about.kind, about.reason.as_str()), (FailureKind::Effects, "2 timers are set, and 2 may be"));
    assert_eq!(bed.entries("wx.test.timer.>").await.len(), 2);
}

/// Crashes at random moments.
async fn stormy(seed: u64) {
    println!("seed {seed}");
    const ROUNDS: u64 = 8;
    const EACH: u64 = 30;
    let (bed, mut random) = (Bed::new(), StdRng::seed_from_u64(seed));
    let mut expected: BTreeMap<String, bool> = BTreeMap::new();
    for round in 0..ROUNDS {
        for n in 0..EACH {
            let (id, key) = (format!("{round}-{n}"), format!("k{}", n % 5));
            let cancelled = random.random_range(0..4) == 0;
            bed.publish("set", &key, &id, if cancelled { 3_600_000 } else { random.random_range(0..40) })
                .await;
            if cancelled {
                bed.publish("cancel", &key, &id, 0).await;
            }
            expected.insert(id, !cancelled);
        }
        let engine = bed.start("a").await;
        for _ in 0..random.random_range(0..600) {
            tokio::task::yield_now().await;
        }
        drop(engine);
    }
    let engine = bed.start("a").await;
    let fire = expected.values().filter(|fires| **fires).count();
    bed.until(async || bed.fired().await.len() >= fire).await;
    let last = bed.publish("cancel", "k0", "nobody", 0).await;
    bed.handled(last).await;
    engine.drain(PATIENCE).await;
    let mut ids: Vec<String> = bed.fired().await.into_iter().map(|(id, _)| id).collect();
    ids.sort();
    let fires: Vec<String> = expected.into_iter().filter(|(_, fires)| *fires).map(|(id, _)| id).collect();
    assert_eq!(ids, fires);
    assert!(bed.entries("wx.test.timer.>").await.is_empty());
}

#[tokio::test]
async fn a_crash_at_any_moment_loses_none_and_fires_none_twice() {
    for seed in 0..4 {
        stormy(seed).await;
    }
    stormy(rand::random()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_may_set_itself_anew_for_ever() {
    let bed = Bed::new();
    let engine = bed.start("a").await;
    bed.publish("forever", "k", "tick", 1).await;
    bed.until(async || bed.fired().await.len() >= 20).await;
    engine.drain(PATIENCE).await;
    assert_eq!(bed.entries("wx.test.timer.>").await.len(), 1);
}

pub const MANIFEST: &str = r#"
[app]
name = "clock"
events = ["wishes.>", "alarms.>"]

[handlers.alarm]
module = "alarm.wasm"
on = ["wishes.>"]
key = "data.id"

[handlers.alarm.grants]
emit = ["alarms.>"]
"#;

/// The real module on a real server; the host is killed while timers are due, and another goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_killed_host_fire_once_on_the_next() {
    const ALL: u64 = 200;
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    let wish = |n: u64| {
        let ms = if n % 4 == 3 { json!(3_600_000) } else { json!(300 + n * 10) };
        Input::new("wishes.made", format!("set-{n}"), &json!({ "id": format!("t {n}"), "after_ms": ms }))
    };
    let undo = |n: u64| Input::new("wishes.undone", format!("undo-{n}"), &json!({ "id": format!("t {n}") }));
    let mut inputs: Vec<Input> = (0..ALL).map(wish).collect();
    inputs.extend((0..ALL).filter(|n| n % 4 == 3).map(undo));
    let last = app.publish(&inputs).await;
    app.handled("alarm", last).await;
    until(&app, async || app.result().await.emitted.len() >= 20).await;
    host.kill().await;
    let host = app.host().await;
    until(&app, async || app.result().await.emitted.len() as u64 >= ALL * 3 / 4).await;
    assert!(host.stop().await, "{}", app.host_log());
    let result = app.result().await;
    let mut fired: BTreeMap<String, Value> = BTreeMap::new();
    for event in &result.emitted {
        let said: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!((&said["count"], &said["key"]), (&json!(1), &said["id"]));
        assert!(event.causation_id.is_some());
        assert!(fired.insert(said["id"].as_str().unwrap().to_owned(), said).is_none(), "fired twice");
    }
    let expected: Vec<String> = (0..ALL).filter(|n| n % 4 != 3).map(|n| format!("t {n}")).collect();
    assert!(expected.iter().all(|id| fired.contains_key(id)) && fired.len() == expected.len());
    let name: HandlerName = "alarm".parse().unwrap();
    let left = app
        .log()
        .await
        .last_of_each(&app.layout.timers(Some(&name)), waxwing_engine::port::log::Part::Headers, 1000)
        .await
        .unwrap();
    assert!(left.iter().all(tombstone::is));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_which_are_set() {
    let app = App::new(MANIFEST).await;
    let host = app.host().await;
    let wish = |id: &str, hours: u64| {
        let data = json!({ "id": id, "after_ms": hours * 3_600_000 });
        Input::new("wishes.made", format!("set {id}"), &data)
    };
    let undo = Input::new("wishes.undone", "undo", &json!({ "id": "undone" }));
    let last = app.publish(&[wish("late", 30), wish("soon.", 2), wish("undone", 1), undo]).await;
    app.handled("alarm", last).await;
    let asked = async |arguments: &[&str]| -> Value {
        serde_json::from_str(&app.run(&[arguments, &["--output", "json"]].concat()).await).unwrap()
    };
    let listed = asked(&["timer", "ls"]).await;
    let ids: Vec<&str> =
        listed.as_array().unwrap().iter().map(|timer| timer["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["soon.", "late"]);
    let soon = &listed[0];
    assert_eq!((&soon["handler"], &soon["key"]), (&json!("alarm"), &json!("soon.")));
    let [due, set] = ["due", "set"].map(|of| soon[of].as_str().unwrap().parse::<Timestamp>().unwrap());
    let apart = due.duration_since(set).as_secs();
    assert!((7_195..=7_200).contains(&apart), "{apart} s");
    assert_eq!(asked(&["timer", "ls", "alarm", "--limit", "1"]).await.as_array().unwrap().len(), 1);
    let shown = asked(&["timer", "show", "alarm", "soon."]).await;
    assert_eq!((&shown["about"], &shown["data"]), (soon, &json!({ "for": "set soon." })));
    let names: Vec<&str> =
        shown["headers"].as_array().unwrap().iter().map(|h| h[0].as_str().unwrap()).collect();
    assert!(names.contains(&"ce-id") && names.iter().all(|name| !name.starts_with("wx-")), "{names:?}");
    let text = app.run(&["timer", "ls", "alarm"]).await;
    assert!(text.contains("in 1 h 59 min") || text.contains("in 2 h"), "{text}");
    assert!(app.run(&["timer", "show", "alarm", "late"]).await.contains("set late"));
    for (arguments, said) in [
        (["timer", "show", "alarm", "undone"], "has no timer `undone`: list its timers"),
        (["timer", "show", "clerk", "late"], "has no handler `clerk`"),
        (["timer", "ls", "clerk", "--output=json"], "has no handler `clerk`"),
    ] {
        let output = app.command(&arguments).output().await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(said), "{arguments:?}: {error}");
    }
    assert!(host.stop().await, "{}", app.host_log());
}
