//! Handlers that fail, on a real server: a poison event stops its key alone, and a dependency that is down costs
//! no event anything.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::StreamExt;
use serde_json::{Value, json};
use waxwing_engine::{
    entry::{DeadLetter, Layout, operator, tombstone},
    port::{
        Log,
        log::{Entry, Part, commit},
    },
};
use waxwing_event::{Event, outcome::FailureKind};

use crate::app::{App, Input, PATIENCE};

/// How an event is poison, and what its dead letter says of that.
const VARIANTS: [(&str, FailureKind); 4] = [
    ("reject", FailureKind::Reject),
    ("error", FailureKind::Retry),
    ("loop", FailureKind::Deadline),
    ("memory", FailureKind::Memory),
];

/// One handler for each way to be poison.
fn poisoned(on_exhausted: &str, fixed: &str) -> String {
    let mut manifest = "[app]\nname = \"poison\"\nevents = [\"work.>\", \"done.>\"]\n".to_owned();
    for (variant, _) in VARIANTS {
        manifest += &format!(
            r#"
[handlers.{variant}]
module = "poison.wasm"
on = ["work.>"]
key = "data.key"
deadline = "300ms"
memory = "16MiB"
retry = {{ attempts = 3, backoff = "10ms..50ms" }}
on-exhausted = "{on_exhausted}"

[handlers.{variant}.grants]
emit = ["done.{variant}"]
settings = {{ poison = "{variant}", out = "done.{variant}", fixed = "{fixed}" }}
"#
        );
    }
    manifest
}

/// Ten events of each key from A to Z, one of each in turn; A's third is poison.
fn inputs() -> Vec<Input> {
    let rounds = (1..=10).flat_map(|n| ('A'..='Z').map(move |key| (n, key)));
    let input = |(n, key): (u64, char)| {
        let data = json!({ "key": key.to_string(), "n": n, "poison": key == 'A' && n == 3 });
        Input::new("work.item", format!("{key}{n}"), &data)
    };
    rounds.map(input).collect()
}

/// What a handler has done of each key, in order.
fn done(emitted: &[Event], variant: &str) -> BTreeMap<String, Vec<u64>> {
    let mut done: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in emitted.iter().filter(|event| event.subject.as_str() == format!("done.{variant}")) {
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        done.entry(data["key"].as_str().unwrap().to_owned()).or_default().push(data["n"].as_u64().unwrap());
    }
    done
}

async fn living(app: &App, family: &str) -> Vec<Entry> {
    let pattern = format!("wx.poison.{family}.*.*").parse().unwrap();
    let entries = app.log().await.last_of_each(&pattern, Part::Whole, 10_000).await.unwrap();
    entries.into_iter().filter(|entry| !tombstone::is(entry)).collect()
}

/// Waits until the app's log is as wanted.
pub async fn until(app: &App, wanted: impl AsyncFn() -> bool) {
    let wait = async {
        let log = app.log().await;
        let mut reader = log.read(log.bounds().await.unwrap().last, &[], Part::Headers).await.unwrap();
        while !wanted().await {
            reader.next(1000).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{}", app.host_log());
}

async fn a_poison_event(on_exhausted: &str) {
    let follow = on_exhausted == "dead-letter-event";
    let app = App::new(&poisoned(on_exhausted, "no")).await;
    let host = app.host().await;
    app.publish(&inputs()).await;
    let (waiting, before) = if follow { (0, 259) } else { (28, 252) };
    until(&app, async || {
        living(&app, "dead").await.len() == 4 && living(&app, "parked").await.len() == waiting
    })
    .await;
    until(&app, async || app.result().await.emitted.len() == 4 * before).await;
    let outcome = app.result().await;
    for (variant, kind) in VARIANTS {
        let done = done(&outcome.emitted, variant);
        let expected: Vec<u64> = if follow { vec![1, 2, 4, 5, 6, 7, 8, 9, 10] } else { vec![1, 2] };
        assert_eq!(done["A"], expected, "{variant}");
        assert!(done.iter().all(|(key, n)| key == "A" || *n == (1..=10).collect::<Vec<_>>()), "{variant}");
        let of_variant = |letter: &&DeadLetter| letter.about.original.handler.as_str() == variant;
        let letter = outcome.dead.iter().find(of_variant).unwrap();
        let attempts = if variant == "reject" { 1 } else { 3 };
        assert_eq!((letter.about.kind, letter.about.attempts), (kind, attempts), "{variant}");
    }
    assert!(host.stop().await, "the host is well");
    // A better module, and the dead letters once more.
    std::fs::write(app.path().join("waxwing.toml"), poisoned(on_exhausted, "yes")).unwrap();
    let host = app.host().await;
    let log = app.log().await;
    for entry in living(&app, "dead").await {
        let letter = DeadLetter::read(entry.clone()).unwrap();
        let redrive = operator::redrive(&app.layout, &entry, letter, jiff::Timestamp::now(), 1 << 20);
        commit(&log, redrive).await.unwrap();
    }
    until(&app, async || app.result().await.emitted.len() == 4 * 260).await;
    until(&app, async || living(&app, "parked").await.is_empty()).await;
    let outcome = app.result().await;
    for (variant, _) in VARIANTS {
        let last = if follow { vec![1, 2, 4, 5, 6, 7, 8, 9, 10, 3] } else { (1..=10).collect() };
        assert_eq!(done(&outcome.emitted, variant)["A"], last, "{variant}");
    }
    assert!(living(&app, "dead").await.is_empty());
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_keeps_its_key_waiting_and_no_other() {
    a_poison_event("dead-letter-key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_is_left_out_where_the_manifest_says_so() {
    a_poison_event("dead-letter-event").await;
}

/// How long the dependency is down.
const DOWN: Duration = Duration::from_secs(60);
/// The time between two probes.
const PROBE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_that_is_down_for_a_minute_costs_no_event_anything() {
    const WAITING: u64 = 10_000;
    let until_ms = (SystemTime::now() + DOWN).duration_since(UNIX_EPOCH).unwrap().as_millis();
    let probe = PROBE.as_secs();
    let manifest = format!(
        r#"
[app]
name = "poison"
events = ["work.>", "done.>", "beside.>"]

[handlers.down]
module = "poison.wasm"
on = ["work.>"]
key = "data.key"
outage = {{ probe = "{probe}s" }}

[handlers.down.grants]
emit = ["done.down"]
settings = {{ out = "done.down", down-until = "{until_ms}" }}

[handlers.beside]
module = "poison.wasm"
on = ["beside.in"]

[handlers.beside.grants]
emit = ["beside.out"]
settings = {{ out = "beside.out" }}
"#
    );
    let app = App::new(&manifest).await;
    let host = app.host().await;
    let item =
        |n: u64| Input::new("work.item", format!("w{n}"), &json!({ "key": format!("k{}", n % 500), "n": n }));
    app.publish(&(0..WAITING).map(item).collect::<Vec<_>>()).await;
    until(&app, async || !outages(&app).await.is_empty()).await;
    let tried = |app: &App| app.host_log().matches("tried while down").count();
    let (at_first, began) = (tried(&app), Instant::now());

    // Events of another handler pass meanwhile as if nothing were.
    let client = app.client().await;
    let mut out = client.subscribe("beside.out").await.unwrap();
    let mut slowest = Duration::ZERO;
    let before_the_end = DOWN - Duration::from_secs(10);
    let mut n = 0;
    while began.elapsed() < before_the_end {
        let sent = Instant::now();
        n += 1;
        client.publish("beside.in", json!({ "key": "b", "n": n }).to_string().into()).await.unwrap();
        tokio::time::timeout(PATIENCE, out.next()).await.unwrap().unwrap();
        slowest = slowest.max(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{n} events beside it, the slowest took {slowest:?}");
    assert!(slowest < PROBE, "no event beside it waits for a probe");
    let probes = tried(&app) - at_first;
    let most = began.elapsed().as_secs() / PROBE.as_secs() + 1;
    assert!((1..=most).contains(&(probes as u64)), "{probes} probes, at most {most}");

    until(&app, async || app.result().await.emitted.len() as u64 == WAITING + n).await;
    until(&app, async || outages(&app).await.is_empty()).await;
    let outcome = app.result().await;
    assert!(outcome.dead.is_empty());
    for (key, numbers) in done(&outcome.emitted, "down") {
        assert_eq!(numbers.len(), 20, "{key}");
        assert!(numbers.is_sorted(), "{key}");
    }
    assert!(host.stop().await);
}

async fn outages(app: &App) -> Vec<Entry> {
    let outages = Layout::new(app.layout.app().clone()).outages();
    let entries = app.log().await.last_of_each(&outages, Part::Whole, 10).await.unwrap();
    entries.into_iter().filter(|entry| !tombstone::is(entry)).collect()
}
