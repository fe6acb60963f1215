//! Shadows: a second version runs on what the live one runs on, and has no effects.

use std::{collections::BTreeMap, fs, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use waxwing_engine::{
    entry::{Mark, version::VersionNumber},
    port::log::Entry,
};
use waxwing_event::Position;

use crate::{
    app::{self, App, Input},
    canaries::{trial, until},
    deploys::{MANIFEST, deployed, in_order, inputs, ran, variant},
    http,
};

/// Writes settings into the app's manifest: what is deployed next has them.
fn set(app: &App, settings: &str) {
    fs::write(app.path().join("waxwing.toml"), format!("{MANIFEST}settings = {{ {settings} }}\n")).unwrap();
}

/// What is known of the shadow once so many runs of the live version are accounted for.
async fn shadowed(app: &App, version: u64, runs: u64) -> Value {
    until(app, "the shadow is behind", async || {
        let shadow = trial(app, version).await["shadow"].clone();
        let counts = &shadow["compared"];
        let all: u64 =
            ["same", "different", "skipped"].iter().filter_map(|name| counts[*name].as_u64()).sum();
        (all == runs).then_some(shadow)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_otherwise_is_told_and_changes_nothing() {
    let app = App::new(MANIFEST).await;
    let mut host = app.host().await;
    deployed(&app, &[]).await;
    set(&app, "plus = \"100\"");
    let said = deployed(&app, &["count", "--shadow"]).await;
    assert!(said.contains("version 2 runs as a shadow"), "{said}");
    // One after the other, so that the shadow keeps up with each.
    let all = inputs(0, 60);
    for input in &all {
        let last = app.publish(std::slice::from_ref(input)).await;
        app.handled("count", last).await;
    }
    let shadow = shadowed(&app, 2, 60).await;
    let counts = &shadow["compared"];
    assert!(counts["different"].as_u64().unwrap() > 40, "{counts}");
    assert_eq!((&counts["parts"]["emits"], &counts["parts"]["state"]), (&counts["different"], &Value::Null));
    assert_eq!(counts["same"], 0);
    let first = shadow["first"].as_array().unwrap();
    assert_eq!(first.len(), 20, "as many as are told");
    let (live, other) =
        (first[0]["otherwise"][0]["live"].as_str(), first[0]["otherwise"][0]["shadow"].as_str());
    assert!(
        live.unwrap().contains(r#""count":1,"#) && other.unwrap().contains(r#""count":101,"#),
        "{first:?}"
    );
    // What was counted is known to the next owner.
    assert!(host.stop().await);
    host = app.host().await;
    assert_eq!(shadowed(&app, 2, 60).await, shadow);
    let said = app.run(&["versions", "count"]).await;
    assert!(said.contains("shadow since") && said.contains("+ shadow counter.counted"), "{said}");
    assert!(app.run(&["rollback", "count"]).await.contains("version 1 runs on"));
    // One that does the same is found to.
    let path = format!("count={}", variant(&app, 1).display());
    set(&app, "");
    deployed(&app, &[&path, "--shadow"]).await;
    let more = inputs(60, 60);
    let mut last = Position::NONE;
    for input in &more {
        last = app.publish(std::slice::from_ref(input)).await;
        app.handled("count", last).await;
    }
    let shadow = shadowed(&app, 3, 60).await;
    assert_eq!(shadow["compared"]["different"], 0, "{shadow}");
    assert!(shadow["compared"]["same"].as_u64().unwrap() > 40, "{shadow}");
    let all = [all, more].concat();
    app.result().await.assert_same(&app::undisturbed(MANIFEST, &["count"], &all).await);
    let log = app.log().await;
    assert!(ran(&app::entries(&log).await).values().all(|version| *version == Some(VersionNumber(1))));
    // It runs alone once somebody says so.
    assert!(deployed(&app, &["count", "--promote"]).await.contains("version 3 runs on"));
    let further = app.publish(&inputs(120, 50)).await;
    app.handled("count", further).await;
    let behind = ran(&app::entries(&log).await).into_iter().filter(|(input, _)| *input > last);
    assert!(behind.map(|(_, version)| version).all(|version| version == Some(VersionNumber(3))));
    assert!(host.stop().await);
}

/// The 99th percentile of the times from inputs behind `after` to their outputs.
fn p99(entries: &[Entry], after: Position) -> SignedDuration {
    let times: BTreeMap<Position, Timestamp> =
        entries.iter().map(|entry| (entry.position, entry.time)).collect();
    let outputs = entries.iter().filter(|entry| entry.subject.as_str() == "counter.counted");
    let inputs = outputs.map(|entry| (entry.time, Mark::of(&entry.headers).unwrap().input));
    let mut took: Vec<SignedDuration> = inputs
        .filter(|(_, input)| *input > after)
        .map(|(time, input)| time.duration_since(times[&input]))
        .collect();
    took.sort();
    took[took.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_ends_delays_and_fails_no_live_run() {
    let app = App::new(MANIFEST).await;
    let _host = app.host().await;
    deployed(&app, &[]).await;
    let log = app.log().await;
    let mut all: Vec<Input> = Vec::new();
    // Two hundred a second, for five seconds.
    let mut load = async || {
        let mut last = Position::NONE;
        let mut every = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..100 {
            every.tick().await;
            let chunk = inputs(all.len() as u64, 10);
            last = app.publish(&chunk).await;
            all.extend(chunk);
        }
        app.handled("count", last).await;
        last
    };
    let alone = load().await;
    set(&app, "spins = \"yes\"");
    deployed(&app, &["count", "--shadow"]).await;
    let beside = load().await;
    assert!(beside > alone);
    let entries = app::entries(&log).await;
    let before: Vec<Entry> = entries.iter().filter(|entry| entry.position <= alone).cloned().collect();
    let (without, with) = (p99(&before, Position::NONE), p99(&entries, alone));
    println!(
        "p99 from an input to its output: {without:#} without a shadow, {with:#} beside one that never ends"
    );
    // Each run of the shadow ends with its deadline, after a second: no live run has waited for one.
    assert!(with < without + SignedDuration::from_millis(500), "{without:#}, {with:#}");
    let shadow = shadowed(&app, 2, 1000).await;
    let counts = &shadow["compared"];
    assert!(counts["skipped"].as_u64() > Some(900) && counts["same"] == 0, "{counts}");
    assert!(shadow["first"][0]["otherwise"][0]["shadow"].as_str().unwrap().contains("deadline"), "{shadow}");
    assert!(app.result().await.dead.is_empty());
    app.result().await.assert_same(&app::undisturbed(MANIFEST, &["count"], &all).await);
    in_order(&entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_would_call_somebody_does_not() {
    let server = http::server::Server::start().await;
    let app = App::new(&http::hosts::manifest(&http::hosts::granted(&server), "")).await;
    let host = app.host().await;
    app.run(&["deploy"]).await;
    let mut bytes = fs::read(app.path().join("caller.wasm")).unwrap();
    // A custom section without a content: another module, that does the same.
    bytes.extend([0, 6, 5, b'a', b'b', b'o', b'u', b't']);
    fs::write(app.path().join("other.wasm"), bytes).unwrap();
    app.run(&["deploy", "caller=other.wasm", "--shadow"]).await;
    http::hosts::ask(&app, "e", json!([{ "method": "POST", "url": server.url("/ok") }])).await;
    let told = until(&app, "the shadow has not run", async || {
        let said: Value = serde_json::from_str(&app.run(&["versions", "-o", "json"]).await).unwrap();
        let shadow = said[1]["trial"]["shadow"].clone();
        (shadow["compared"]["different"] == 1).then_some(shadow)
    })
    .await;
    assert!(
        told["first"][0]["otherwise"][0]["shadow"].as_str().unwrap().contains("is not granted"),
        "{told}"
    );
    assert_eq!(server.seen().len(), 1);
    assert_eq!(http::hosts::made(&app).await, [json!([{ "status": 200, "body": "ok" }])]);
    assert!(host.stop().await);
}
