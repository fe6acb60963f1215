//! Many hosts on one app: each handler is where its turn is, and moves without loss when hosts come, stop and die.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::timeout;
use waxwing_engine::{
    entry::{Lease, Mark, Partition},
    port::log::Entry,
    rendezvous,
};
use waxwing_event::Position;

use crate::app::{self, App, HostProcess, Input, PATIENCE};

const HANDLERS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

fn manifest() -> String {
    let handler = |name: &&str| {
        format!(
            "[handlers.{name}]\nmodule = \"counter.wasm\"\non = [\"in.>\"]\nkey = \"data.key\"\n\
             [handlers.{name}.grants]\nemit = [\"counter.counted\"]\n"
        )
    };
    let head = "[app]\nname = \"shared\"\nevents = [\"in.>\", \"counter.>\"]\n[host]\nlease = \"1s\"\n";
    let handlers: Vec<String> = HANDLERS.iter().map(handler).collect();
    format!("{head}{}", handlers.concat())
}

fn inputs(from: u64, many: u64) -> Vec<Input> {
    let input =
        |n: u64| Input::new("in.item", format!("in-{n}"), &json!({ "key": format!("k{}", n % 10), "n": n }));
    (from..from + many).map(input).collect()
}

/// What each living host runs.
async fn shares(app: &App) -> BTreeMap<String, BTreeSet<String>> {
    let told: Value = serde_json::from_str(&app.run(&["hosts", "--output", "json"]).await).unwrap();
    let names = |host: &Value| {
        host["handlers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let hosts = told.as_array().unwrap().iter();
    hosts.map(|host| (host["host"].as_str().unwrap().to_owned(), names(host))).collect()
}

/// Where each handler's turn is among so many hosts; waits until each is there.
async fn settled(app: &App, hosts: usize) {
    let wait = async {
        loop {
            let shares = shares(app).await;
            let turn = |name: &str| {
                let names = shares.keys().map(String::as_str);
                rendezvous::heaviest(names, &name.parse().unwrap(), Partition(0)).map(str::to_owned)
            };
            let is_there = |name: &&str| turn(name).is_some_and(|host| shares[&host].contains(*name));
            if shares.len() == hosts && HANDLERS.iter().all(is_there) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{:?}\n{}", shares(app).await, app.host_log());
}

async fn handled(app: &App, last: Position) {
    for handler in HANDLERS {
        app.handled(handler, last).await;
    }
}

/// How long each handler was without an owner who lives or gave it up: from when a lease was given up, or `since`, to the
/// next one.
fn longest_gap(entries: &[Entry], since: Option<Timestamp>) -> SignedDuration {
    let mut longest = SignedDuration::ZERO;
    for handler in HANDLERS {
        let subject = format!("wx.shared.lease.{handler}.0");
        let mut free = since;
        for entry in entries.iter().filter(|entry| entry.subject.as_str() == subject) {
            if since.is_some_and(|since| entry.time < since) {
                continue;
            }
            match Lease::read(entry).unwrap().host {
                Some(_) => {
                    longest = free.take().map_or(longest, |free| longest.max(entry.time.duration_since(free)))
                }
                None => free = Some(entry.time),
            }
        }
    }
    longest
}

/// The median of the times from an input to its output, and the longest.
fn latencies(entries: &[Entry]) -> (SignedDuration, SignedDuration) {
    let times: BTreeMap<Position, Timestamp> =
        entries.iter().map(|entry| (entry.position, entry.time)).collect();
    let outputs = entries.iter().filter(|entry| entry.subject.as_str() == "counter.counted");
    let mut all: Vec<SignedDuration> = outputs
        .map(|entry| entry.time.duration_since(times[&Mark::of(&entry.headers).unwrap().input]))
        .collect();
    all.sort();
    (all[all.len() / 2], *all.last().unwrap())
}

/// Leases are rolled up: what happens is followed while it does.
async fn follow(app: &App) -> tokio::task::JoinHandle<Vec<Entry>> {
    use waxwing_engine::port::{Log, log::Part};
    let log = app.log().await;
    let (layout, first) = (app.layout.clone(), log.bounds().await.unwrap().last.next());
    tokio::spawn(async move {
        let mut reader = log.read(first, &[layout.leases()], Part::Whole).await.unwrap();
        let mut entries = Vec::new();
        while let Ok(read) = timeout(Duration::from_secs(5), reader.next(100)).await {
            entries.extend(read.unwrap());
        }
        entries
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_move_when_hosts_die_stop_and_come_and_nothing_is_lost_or_doubled() {
    let manifest = manifest();
    let app = App::new(&manifest).await;
    let mut hosts: Vec<HostProcess> = Vec::new();
    for _ in 0..3 {
        hosts.push(app.host().await);
    }
    settled(&app, 3).await;
    let all = inputs(0, 4_000);
    let mut parts = all.chunks(1_000);
    let mut publish = async || app.publish(parts.next().unwrap()).await;
    publish().await;

    let leases = follow(&app).await;
    let killed = Timestamp::now();
    hosts.remove(0).kill().await;
    publish().await;
    settled(&app, 2).await;
    println!("killed: without an owner for {:#} at most", longest_gap(&leases.await.unwrap(), Some(killed)));

    let leases = follow(&app).await;
    assert!(hosts.remove(0).stop().await);
    publish().await;
    settled(&app, 1).await;
    println!("stopped: without an owner for {:#} at most", longest_gap(&leases.await.unwrap(), None));

    let leases = follow(&app).await;
    for _ in 0..2 {
        hosts.push(app.host().await);
    }
    let last = publish().await;
    settled(&app, 3).await;
    println!("two more: without an owner for {:#} at most", longest_gap(&leases.await.unwrap(), None));
    handled(&app, last).await;
    app.result().await.assert_same(&app::undisturbed(&manifest, &HANDLERS, &all).await);
    assert!(
        !app.host_log().contains("interrupted"),
        "nobody was fenced off but who was killed:\n{}",
        app.host_log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_replaced_one_after_the_other_while_events_flow() {
    let manifest = manifest();
    let app = App::new(&manifest).await;
    let mut hosts = vec![app.host().await, app.host().await];
    settled(&app, 2).await;
    let all = inputs(0, 1_500);
    let load = async {
        let mut last = Position::NONE;
        let mut every = tokio::time::interval(Duration::from_millis(100));
        for chunk in all.chunks(10) {
            every.tick().await;
            last = app.publish(chunk).await;
        }
        last
    };
    let replace = async {
        for _ in 0..2 {
            hosts.push(app.host().await);
            settled(&app, 3).await;
            assert!(hosts.remove(0).stop().await);
            settled(&app, 2).await;
        }
    };
    let (last, ()) = tokio::join!(load, replace);
    handled(&app, last).await;
    app.result().await.assert_same(&app::undisturbed(&manifest, &HANDLERS, &all).await);
    let entries = app::entries(&app.log().await).await;
    let (median, longest) = latencies(&entries);
    println!("replaced two hosts: an event took {median:#} (median), {longest:#} at most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_runs_only_on_hosts_with_its_labels() {
    let manifest = manifest().replace("[handlers.six]\n", "[handlers.six]\nrequires = [\"gpu\", \"eu\"]\n");
    let app = App::new(&manifest).await;
    let plain = app.host().await;
    let mut special = app.launch_with(&[], &[("WAXWING_HOST_LABELS", "eu,gpu")]);
    let last = app.publish(&inputs(0, 10)).await;
    special.ready().await;
    app.handled("six", last).await;
    let shares = shares(&app).await;
    let told: Value = serde_json::from_str(&app.run(&["hosts", "-o", "json"]).await).unwrap();
    let special_id =
        told.as_array().unwrap().iter().find(|host| host["labels"] == json!(["eu", "gpu"])).unwrap();
    assert!(shares[special_id["host"].as_str().unwrap()].contains("six"), "{shares:?}");
    assert!(special.stop().await);
    // Nobody may take it over.
    let last = app.publish(&inputs(10, 10)).await;
    app.handled("one", last).await;
    let shares: BTreeMap<String, BTreeSet<String>> = self::shares(&app).await;
    assert!(shares.values().all(|handlers| !handlers.contains("six")), "{shares:?}");
    assert!(plain.stop().await);
}
