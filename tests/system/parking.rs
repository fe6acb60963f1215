//! Failing events on the memory log: attempts, order by key, dead letters that hold their key, outages, pauses.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use waxwing_engine::{
    Engine,
    entry::{DeadLetter, Layout, ParkedEvent, operator, tombstone},
    gauges::Gauges,
    port::{
        Log,
        clock::SystemClock,
        log::{Entry, NewEntry, commit},
    },
};
use waxwing_event::{
    Failure, HandlerName, HandlerSpec, Position,
    handler::{OnExhausted, OutagePolicy, RetryPolicy},
    outcome::FailureKind,
};
use waxwing_log::memory::MemoryLog;

use crate::{
    engine::{all, app, start_with},
    scripted::{Script, Scripted},
};

/// What fails, and what ran.
#[derive(Default)]
struct World {
    /// Events that fail so many times more.
    poison: Mutex<BTreeMap<String, u32>>,
    /// Ids and attempts, in the order in which runs began.
    runs: Mutex<Vec<(String, u32)>>,
    down: AtomicBool,
    /// Runs under way.
    under_way: AtomicU32,
    /// The most that were under way at once.
    most_under_way: AtomicU32,
}

impl World {
    async fn handle(self: Arc<World>, mut script: Script) -> Result<Script, Failure> {
        let id = script.event.id.clone();
        self.runs.lock().unwrap().push((id.clone(), script.event.attempt));
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        // Everything that may start does before this goes on.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(Failure::new(FailureKind::Retry, "the shop is closed"));
        }
        if let Some(left) = self.poison.lock().unwrap().get_mut(&id).filter(|left| **left > 0) {
            *left -= 1;
            return Err(Failure::new(FailureKind::Trap, format!("poison {id}")));
        }
        script.emit("out.done", id);
        Ok(script)
    }

    fn poison(&self, id: &str, times: u32) {
        self.poison.lock().unwrap().insert(id.to_owned(), times);
    }

    /// How often something ran whose id starts so.
    fn runs_of(&self, prefix: &str) -> usize {
        self.runs.lock().unwrap().iter().filter(|(id, _)| id.starts_with(prefix)).count()
    }
}

/// A handler that fails as its world says, on a log in memory.
struct App {
    log: MemoryLog,
    world: Arc<World>,
    spec: HandlerSpec,
}

impl App {
    fn new(adjust: impl FnOnce(&mut HandlerSpec)) -> App {
        let mut spec = HandlerSpec::new("work".parse().unwrap(), vec!["in.>".parse().unwrap()]);
        spec.key = vec!["subject.2".parse().unwrap()];
        let ms = Duration::from_millis;
        spec.retry = RetryPolicy { attempts: 4, immediate: 2, first: ms(5), most: ms(20) };
        spec.outage = OutagePolicy { after: 0, probe: ms(50) };
        adjust(&mut spec);
        App { log: MemoryLog::new(Arc::new(SystemClock)), world: Arc::default(), spec }
    }

    async fn start(&self) -> Engine {
        let world = self.world.clone();
        let module = Scripted(move |script| world.clone().handle(script));
        start_with(&self.log, "a", self.spec.clone(), Arc::new(module)).await
    }

    fn name(&self) -> &HandlerName {
        &self.spec.name
    }

    /// Publishes the events 1 to `count` of each key, one of each in turn.
    async fn publish(&self, keys: &str, count: u32) {
        for n in 1..=count {
            for key in keys.chars() {
                let mut entry = NewEntry::new(format!("in.{key}").parse().unwrap(), "{}");
                entry.headers.push("Nats-Msg-Id", format!("{key}{n}"));
                commit(&self.log, vec![entry]).await.unwrap();
            }
        }
    }

    async fn entries(&self, subjects: &str) -> Vec<Entry> {
        let pattern: waxwing_event::Pattern = subjects.parse().unwrap();
        let living = |entry: &Entry| pattern.matches(entry.subject.as_str()) && !tombstone::is(entry);
        all(&self.log).await.into_iter().filter(living).collect()
    }

    /// Ids of what has had its effect, in order.
    async fn done(&self) -> Vec<String> {
        let done = self.entries("out.done").await;
        done.iter().map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()).collect()
    }

    async fn done_of(&self, key: char) -> Vec<String> {
        self.done().await.into_iter().filter(|id| id.starts_with(key)).collect()
    }

    async fn parked(&self) -> Vec<ParkedEvent> {
        let entries = self.entries("wx.test.parked.work.*").await;
        entries.into_iter().map(|entry| ParkedEvent::read(entry).unwrap()).collect()
    }

    async fn letters(&self) -> Vec<Entry> {
        self.entries("wx.test.dead.work.*").await
    }

    /// Waits until so many events have had their effect.
    async fn until_done(&self, count: usize) {
        self.until("out.done", |entries| entries.len() == count).await;
    }

    /// Waits until the living entries of these subjects are so.
    async fn until(&self, subjects: &str, wanted: impl Fn(&[Entry]) -> bool) {
        let wait = async {
            let grown = ["out.done".parse().unwrap(), "wx.test.>".parse().unwrap()];
            let part = waxwing_engine::port::log::Part::Headers;
            let mut reader = self.log.read(Position(1), &grown, part).await.unwrap();
            while !wanted(&self.entries(subjects).await) {
                reader.next(1000).await.unwrap();
            }
        };
        let end = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(end.is_ok(), "{subjects}: {:?}", self.entries(subjects).await.len());
    }

    async fn operate(&self, entries: Vec<NewEntry>) {
        commit(&self.log, entries).await.unwrap();
    }

    async fn redrive(&self, entry: &Entry) {
        let letter = DeadLetter::read(entry.clone()).unwrap();
        self.operate(operator::redrive(&Layout::new(app()), entry, letter, Timestamp::now(), 1 << 20)).await;
    }
}

fn ids(key: char, numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("{key}{n}")).collect()
}

const DRAIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_failed_event_is_tried_again_and_its_key_waits_in_order() {
    let app = App::new(|_| {});
    app.world.poison("b3", 3);
    let engine = app.start().await;
    app.publish("abc", 10).await;
    app.until_done(30).await;
    engine.drain(DRAIN).await;
    for key in ['a', 'b', 'c'] {
        assert_eq!(app.done_of(key).await, ids(key, 1..=10));
    }
    let attempts: Vec<u32> =
        app.world.runs.lock().unwrap().iter().filter(|(id, _)| id == "b3").map(|(_, n)| *n).collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
    assert_eq!(app.world.runs_of(""), 33, "nothing else ran twice");
    assert!(app.parked().await.is_empty() && app.letters().await.is_empty());
}

#[tokio::test]
async fn a_dead_letter_holds_its_key_until_it_is_redriven() {
    let app = App::new(|_| {});
    app.world.poison("a3", u32::MAX);
    let engine = app.start().await;
    app.publish("abc", 10).await;
    app.until_done(22).await;
    app.until("wx.test.parked.work.*", |parked| parked.len() == 7).await;
    let letters = app.letters().await;
    let about = DeadLetter::read(letters[0].clone()).unwrap().about;
    assert_eq!((letters.len(), about.attempts, about.holds_key), (1, 4, true));
    assert_eq!(about.original.event_id.as_deref(), Some("a3"));
    assert_eq!(app.done_of('a').await, ids('a', 1..=2));
    // A redrive before the cause is gone changes nothing for those that wait.
    app.redrive(&letters[0]).await;
    app.until("wx.test.dead.work.*", |now| now.first().is_some_and(|e| e.position > letters[0].position))
        .await;
    assert_eq!(app.done_of('a').await, ids('a', 1..=2));
    app.world.poison("a3", 0);
    app.redrive(&app.letters().await[0]).await;
    app.until_done(30).await;
    engine.drain(DRAIN).await;
    assert_eq!(app.done_of('a').await, ids('a', 1..=10));
    assert!(app.parked().await.is_empty() && app.letters().await.is_empty());
}

#[tokio::test]
async fn an_archived_dead_letter_lets_its_key_go() {
    let app = App::new(|_| {});
    app.world.poison("a1", u32::MAX);
    let engine = app.start().await;
    app.publish("a", 5).await;
    app.until("wx.test.parked.work.*", |parked| parked.len() == 4).await;
    let entry = app.letters().await.remove(0);
    let letter = DeadLetter::read(entry.clone()).unwrap();
    app.operate(operator::archive(&Layout::new(crate::engine::app()), &entry, letter, 1 << 20)).await;
    app.until_done(4).await;
    engine.drain(DRAIN).await;
    assert_eq!(app.done_of('a').await, ids('a', 2..=5));
    assert_eq!(app.entries("wx.test.archive.work.*").await.len(), 1);
}

#[tokio::test]
async fn a_key_goes_on_without_its_dead_letter_where_the_manifest_says_so() {
    let app = App::new(|spec| spec.on_exhausted = OnExhausted::DeadLetterEvent);
    app.world.poison("a3", u32::MAX);
    let engine = app.start().await;
    app.publish("ab", 10).await;
    app.until_done(19).await;
    assert_eq!(app.done_of('a').await, ids('a', (1..=10).filter(|n| *n != 3)));
    app.world.poison("a3", 0);
    app.redrive(&app.letters().await[0]).await;
    app.until_done(20).await;
    engine.drain(DRAIN).await;
    assert_eq!(app.done_of('a').await.last().map(String::as_str), Some("a3"));
}

#[tokio::test]
async fn what_waits_is_found_again_after_a_crash() {
    let app = App::new(|spec| spec.retry.attempts = 100);
    app.world.poison("a1", 12);
    app.world.poison("b1", 12);
    app.publish("abc", 20).await;
    let mut crashes = 0;
    while app.done().await.len() < 60 {
        crashes += 1;
        let engine = app.start().await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        if crashes < 20 {
            drop(engine);
        } else {
            app.until_done(60).await;
            engine.drain(DRAIN).await;
        }
    }
    println!("{crashes} crashes");
    for key in ['a', 'b', 'c'] {
        assert_eq!(app.done_of(key).await, ids(key, 1..=20));
    }
    assert!(app.parked().await.is_empty());
}

#[tokio::test]
async fn an_outage_spends_no_attempt_and_is_probed_one_by_one() {
    let app = App::new(|spec| spec.outage.after = 5);
    app.world.down.store(true, Ordering::SeqCst);
    app.publish("abcdefghij", 10).await;
    let engine = app.start().await;
    app.until("wx.test.outage.work.0", |outage| outage.len() == 1).await;
    let before = app.world.runs_of("");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let probes = app.world.runs_of("") - before;
    assert!((1..=10).contains(&probes), "{probes} probes in 400 ms, one every 50 ms");
    app.world.down.store(false, Ordering::SeqCst);
    app.until_done(100).await;
    app.until("wx.test.outage.work.0", |outage| outage.is_empty()).await;
    engine.drain(DRAIN).await;
    assert!(app.letters().await.is_empty());
    for key in "abcdefghij".chars() {
        assert_eq!(app.done_of(key).await, ids(key, 1..=10));
    }
}

#[tokio::test]
async fn a_paused_handler_starts_nothing_until_it_is_resumed() {
    let app = App::new(|_| {});
    let paused = Layout::new(crate::engine::app()).paused(app.name());
    app.operate(vec![operator::pause(paused.clone(), Timestamp::now())]).await;
    let engine = app.start().await;
    app.publish("ab", 5).await;
    app.until("wx.test.checkpoint.work.0", |entries| !entries.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(app.world.runs_of(""), 0);
    app.operate(vec![operator::resume(paused.clone())]).await;
    app.until_done(10).await;
    app.operate(vec![operator::pause(paused.clone(), Timestamp::now())]).await;
    engine.drain(DRAIN).await;
    let engine = app.start().await;
    app.publish("c", 5).await;
    assert_eq!(app.done().await.len(), 10);
    app.operate(vec![operator::resume(paused)]).await;
    app.until_done(15).await;
    engine.drain(DRAIN).await;
}

#[tokio::test]
async fn what_finds_no_room_to_park_becomes_a_dead_letter_and_comes_back_in_order() {
    // The first event takes a place itself, before it is given up.
    for (room, parked) in [(6, 5), (5, 4), (4, 3)] {
        let app = App::new(|spec| spec.limits.parked = room);
        app.world.poison("a1", u32::MAX);
        let engine = app.start().await;
        app.publish("a", 6).await;
        let refused = 5 - parked;
        app.until("wx.test.dead.work.*", |letters| letters.len() == 1 + refused).await;
        app.until("wx.test.parked.work.*", |entries| entries.len() == parked).await;
        let kinds: Vec<FailureKind> =
            app.letters().await.into_iter().map(|e| DeadLetter::read(e).unwrap().about.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == FailureKind::Parked).count(), refused);
        assert_eq!(kinds.len(), 1 + refused);
        app.world.poison("a1", 0);
        let mut letters = app.letters().await;
        letters.sort_by_key(|entry| Layout::position(&entry.subject));
        for letter in &letters {
            app.redrive(letter).await;
        }
        app.until_done(6).await;
        engine.drain(DRAIN).await;
        assert_eq!(app.done_of('a').await, ids('a', 1..=6));
    }
}

#[tokio::test]
async fn a_parked_event_tells_of_its_failures() {
    let app = App::new(|spec| {
        spec.retry.first = Duration::from_secs(3600);
        spec.retry.most = Duration::from_secs(3600);
    });
    app.world.poison("a1", u32::MAX);
    let engine = app.start().await;
    app.publish("a", 1).await;
    app.until("wx.test.parked.work.*", |parked| !parked.is_empty()).await;
    engine.drain(DRAIN).await;
    let about = app.parked().await.remove(0).about;
    assert_eq!((about.attempts, about.original.key.as_deref()), (2, Some("a")));
    let failed: Value = serde_json::to_value(&about.failures).unwrap();
    assert_eq!((&failed[0]["attempt"], &failed[0]["reason"]), (&json!(2), &json!("poison a1")));
}

/// How much of 20 events of 100 KiB is taken into memory while none ends, with room for so many bytes.
async fn taken(in_flight_bytes: u64) -> u64 {
    let app = App::new(|spec| {
        spec.limits.in_flight_bytes = in_flight_bytes;
        spec.concurrency = 1.try_into().unwrap();
    });
    let paused = Layout::new(crate::engine::app()).paused(app.name());
    app.operate(vec![operator::pause(paused, Timestamp::now())]).await;
    for _ in 0..20 {
        commit(&app.log, vec![NewEntry::new("in.a".parse().unwrap(), vec![b'x'; 100 << 10])]).await.unwrap();
    }
    let engine = app.start().await;
    let gauges = engine.gauges()[0].1.first().clone();
    let mut seen = (0, 0);
    // Read on until nothing changes any more.
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = Gauges::read(&gauges.window);
        seen = if now == seen.0 { (now, seen.1 + 1) } else { (now, 0) };
        if now > 0 && seen.1 > 100 {
            break;
        }
    }
    engine.drain(DRAIN).await;
    seen.0
}

#[tokio::test]
async fn no_more_is_read_than_there_is_room_for_in_bytes() {
    // Chunks of 256 KiB have three events: their 307,239 bytes are their payloads and their subjects.
    const CHUNK: u64 = 3 * ((100 << 10) + 4);
    assert_eq!(taken(2 * CHUNK - 1).await, 6);
    assert_eq!(taken(2 * CHUNK).await, 6);
    assert_eq!(taken(2 * CHUNK + 1).await, 9);
}

#[tokio::test]
async fn as_many_events_run_at_once_as_may() {
    for concurrency in [1, 9, 10, 11] {
        let app = App::new(|spec| spec.concurrency = concurrency.try_into().unwrap());
        app.publish("abcdefghij", 3).await;
        let engine = app.start().await;
        app.until_done(30).await;
        engine.drain(DRAIN).await;
        // Ten keys, and of each key one at a time.
        assert_eq!(app.world.most_under_way.load(Ordering::SeqCst), concurrency.min(10));
    }
}

#[tokio::test]
async fn the_gauges_show_what_waits() {
    let app = App::new(|_| {});
    app.world.poison("a1", u32::MAX);
    let engine = app.start().await;
    app.publish("ab", 5).await;
    app.until_done(5).await;
    app.until("wx.test.dead.work.*", |letters| letters.len() == 1).await;
    app.until("wx.test.parked.work.*", |parked| parked.len() == 4).await;
    let gauges = engine.gauges()[0].1.first().clone();
    engine.drain(DRAIN).await;
    let read = |gauge| Gauges::read(gauge);
    assert_eq!((read(&gauges.parked), read(&gauges.parked_keys), read(&gauges.under_way)), (4, 1, 0));
    assert_eq!((read(&gauges.failed), read(&gauges.dead), read(&gauges.refused)), (4, 1, 0));
    assert_eq!((read(&gauges.window), read(&gauges.window_bytes)), (0, 0));
    // Two attempts that were put off, and four events behind them.
    assert_eq!((read(&gauges.parkings), read(&gauges.handled)), (6, 12));
}
