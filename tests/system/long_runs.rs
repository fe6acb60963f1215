//! Runs that take long, and hosts that are asked to stop in the midst of them.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant, SystemTime},
};

use jiff::Timestamp;
use serde_json::json;
use waxwing_engine::{
    entry::Partition,
    port::{Log, log::Entry},
};
use waxwing_event::Position;

use crate::{
    app::{self, App, Backing, HostProcess, Input, PATIENCE},
    proxy::Proxied,
};

const HANDLER: &str = "sleeper";

fn manifest(concurrency: u32, deadline: &str, host: &str) -> String {
    format!(
        r#"
[app]
name = "naps"
events = ["in.>", "naps.>"]

[host]
{host}

[handlers.{HANDLER}]
module = "sleeper.wasm"
on = ["in.>"]
concurrency = {concurrency}
deadline = "{deadline}"

[handlers.{HANDLER}.grants]
emit = ["naps.slept"]
"#
    )
}

fn naps(numbers: Range<u64>, sleep: Duration) -> Vec<Input> {
    let nap = |n| Input::new("in.nap", format!("nap-{n}"), &json!({ "n": n, "sleep_ms": sleep.as_millis() }));
    numbers.map(nap).collect()
}

/// How often each nap has begun, on any host.
fn begun<B: Backing>(app: &App<B>) -> BTreeMap<u64, u32> {
    let mut begun = BTreeMap::new();
    for line in app.host_log().lines() {
        let nap = line.split_once("nap ").and_then(|(_, rest)| rest.split_once(" begins"));
        if let Some((n, _)) = nap {
            *begun.entry(n.parse().unwrap()).or_default() += 1;
        }
    }
    begun
}

fn each(numbers: Range<u64>, times: u32) -> BTreeMap<u64, u32> {
    numbers.map(|n| (n, times)).collect()
}

/// Waits until each nap has begun so often.
async fn begin_each(app: &App, numbers: Range<u64>, times: u32) {
    let wanted = each(numbers, times);
    let wait = async {
        while begun(app) != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("all naps begin");
}

/// Where the handler's lease stands.
async fn lease<B: Backing>(app: &App<B>) -> Position {
    let subject = app.layout.lease(&HANDLER.parse().unwrap(), Partition(0));
    app.log().await.last(&subject).await.unwrap().unwrap().position
}

/// What handlers have emitted, with the numbers of the naps.
async fn slept<B: Backing>(app: &App<B>) -> Vec<(Entry, u64)> {
    let entries = app::entries(&app.log().await).await;
    let slept = entries.into_iter().filter(|entry| entry.subject.as_str() == "naps.slept");
    let number =
        |entry: &Entry| serde_json::from_slice::<serde_json::Value>(&entry.payload).unwrap()["n"].as_u64();
    slept.map(|entry| (number(&entry), entry)).map(|(n, entry)| (entry, n.unwrap())).collect()
}

fn assert_each_once(slept: &[(Entry, u64)], count: u64) {
    let mut numbers: Vec<u64> = slept.iter().map(|(_, n)| *n).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_takes_ninety_seconds_runs_once_and_waits_at_no_cost() {
    const LONG: Duration = Duration::from_secs(90);
    const MOST_CPU: Duration = Duration::from_secs(5);
    let app = App::new(&manifest(64, "120s", "")).await;
    let host = app.host().await;
    let before = host.cpu();
    let began = Instant::now();
    let long = app.publish(&naps(0..1, LONG)).await;
    let short = naps(1..20, Duration::from_millis(5));
    app.publish(&short).await;
    app.handled(HANDLER, long).await;
    assert!(began.elapsed() >= LONG);
    let spent = host.cpu() - before;
    println!("{spent:?} of processor time");
    assert!(spent < MOST_CPU, "{spent:?}");
    assert!(host.stop().await);
    let slept = slept(&app).await;
    assert_each_once(&slept, 20);
    assert_eq!(slept.last().unwrap().1, 0, "the others did not wait for it");
    assert_eq!(begun(&app), each(0..20, 1));
}

/// Asks a host to stop; gives when it had ended.
async fn stop(host: HostProcess) -> Timestamp {
    assert!(host.stop().await);
    Timestamp::try_from(SystemTime::now()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stops_with_a_thousand_events_read_ahead_finishes_what_it_began() {
    const EVENTS: u64 = 1_000;
    // Ten seconds of work for one host, of which it has done little when it is asked to stop.
    const AT_ONCE: u32 = 10;
    const NAP: Duration = Duration::from_millis(100);
    let app = App::on(Proxied::start().await, &manifest(AT_ONCE, "5s", "lease = \"2s\""));
    let first = app.host().await;
    let second = app.standby().await;
    let last = app.publish(&naps(0..EVENTS, NAP)).await;
    app.server.proxy.delivered(EVENTS as usize).await;
    let exit = stop(first).await;
    app.handled(HANDLER, last).await;
    let takeover = lease(&app).await;
    assert!(second.stop().await);

    let slept = slept(&app).await;
    assert_each_once(&slept, EVENTS);
    assert_eq!(begun(&app), each(0..EVENTS, 1));
    let of_first = slept.iter().filter(|(entry, _)| entry.position < takeover).count();
    println!("{of_first} finished by the first host");
    let took = slept[of_first].0.time.duration_since(exit);
    println!("the next host did its first event {took} after the exit");
    assert!(took < jiff::SignedDuration::from_secs(1), "{took}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlasts_the_grace_is_left_to_the_next_host_at_once() {
    const NAP: Duration = Duration::from_secs(10);
    let app = App::new(&manifest(64, "60s", "grace = \"1s\"")).await;
    let first = app.host().await;
    let second = app.standby().await;
    let last = app.publish(&naps(0..3, NAP)).await;
    begin_each(&app, 0..3, 1).await;
    let asked = Instant::now();
    stop(first).await;
    assert!(asked.elapsed() < NAP, "{:?}", asked.elapsed());
    let left = Instant::now();
    begin_each(&app, 0..3, 2).await;
    assert!(left.elapsed() < Duration::from_secs(3), "a lease that is not given up lasts for 5 s");
    app.handled(HANDLER, last).await;
    assert!(second.stop().await);
    assert_each_once(&slept(&app).await, 3);
    assert_eq!(begun(&app), each(0..3, 2));
}
