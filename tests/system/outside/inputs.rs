//! Inputs from streams that the app does not own, on logs in memory: positions of two logs side by side, crashes,
//! and streams that are not what they were.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use waxwing_engine::entry::Partition;
use waxwing_engine::{
    Hosted,
    port::{
        Log, Observe,
        log::{Entry, NewEntry, commit},
        observe::{Handled, PartitionChange, Unobserved},
    },
};
use waxwing_event::{
    Failure, HandlerName, HandlerSpec, Position, StreamName, decode, handler::Start, outcome::FailureKind,
};
use waxwing_log::MemoryLog;

use super::stage::{PATIENCE, Stage, all, memory, memory_of, put, spec};
use crate::scripted::{Script, Scripted, count};

fn source() -> StreamName {
    "SOURCE".parse().unwrap()
}

fn made(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A handler that reads the stream `SOURCE`.
fn foreign() -> HandlerSpec {
    HandlerSpec { stream: Some(source()), ..spec("foreign") }
}

/// A stage whose log keeps what is emitted, too, and a stream `SOURCE` beside it.
fn stage() -> (Stage, MemoryLog) {
    let stage = Stage::with_events(&["in.>", "out.>"]);
    let stream = memory(&["in.>"]);
    stage.outside.put_stream(source(), made(0), stream.clone());
    (stage, stream)
}

/// What a handler has done: each cause with what was emitted for it, and its state.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    emitted: Vec<(String, String)>,
    state: BTreeMap<String, String>,
}

async fn done(stage: &Stage, handler: &str) -> Done {
    let name: HandlerName = handler.parse().unwrap();
    let mut done = Done { emitted: Vec::new(), state: BTreeMap::new() };
    for Entry { subject, position, headers, payload, .. } in all(&stage.log).await {
        let text = String::from_utf8_lossy(&payload).into_owned();
        if let Some(key) = stage.layout.state_key(&name, &subject) {
            done.state.insert(key, text);
        } else if headers.get("ce-source") == Some(&format!("/test/{handler}")) {
            let event = decode::event(&subject, position, &headers, &payload).unwrap();
            done.emitted.push((event.causation_id.unwrap(), text));
        }
    }
    done.emitted.sort();
    done
}

#[tokio::test]
async fn own_and_foreign_positions_that_collide_are_never_taken_for_each_other() {
    let first: u64 = rand::random_range(0..1_000_000);
    for seed in first..first + 12 {
        println!("seed {seed}");
        assert_eq!(run(seed, true).await, run(seed, false).await);
    }
}

/// The same inputs in both logs, with crashes at random moments or without any.
async fn run(seed: u64, crashes: bool) -> [Done; 2] {
    let ((stage, stream), mut random) = (stage(), StdRng::seed_from_u64(seed));
    let modes = ["both", "state", "emit", "none", "even", "even"];
    let (mut last_own, mut last_foreign) = (Position::NONE, Position::NONE);
    for round in 0..8 {
        for n in round * 40..(round + 1) * 40 {
            let key = format!("k{}", random.random_range(0..5));
            last_own = put(&stage.log, &key, n, modes[random.random_range(0..modes.len())]).await;
            last_foreign = put(&stream, &key, n, modes[random.random_range(0..modes.len())]).await;
        }
        if crashes {
            let engine = stage.start("a", vec![spec("own"), foreign()]).await;
            for _ in 0..StdRng::seed_from_u64(seed + round).random_range(0..400) {
                tokio::task::yield_now().await;
            }
            drop(engine);
        }
    }
    let engine = stage.start("a", vec![spec("own"), foreign()]).await;
    stage.handled("own", last_own).await;
    stage.handled("foreign", last_foreign).await;
    engine.drain(Duration::from_secs(5)).await;
    [done(&stage, "own").await, done(&stage, "foreign").await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_handler_begins_where_it_is_told_to() {
    let (stage, stream) = stage();
    for n in 0..10 {
        put(&stream, "old", n, "both").await;
    }
    // The app's log is longer than the stream: its positions say nothing here.
    for n in 0..30 {
        put(&stage.log, "own", n, "none").await;
    }
    let new = HandlerSpec { start: Start::New, ..foreign() };
    let whole = HandlerSpec { name: "whole".parse().unwrap(), ..foreign() };
    let engine = stage.start("a", vec![new.clone(), whole.clone()]).await;
    stage.handled("foreign", Position(10)).await;
    stage.handled("whole", Position(10)).await;
    let last = put(&stream, "new", 10, "both").await;
    stage.handled("foreign", last).await;
    stage.handled("whole", last).await;
    engine.drain(Duration::from_secs(5)).await;
    let keys = |done: Done| done.state.into_keys().collect::<Vec<_>>();
    assert_eq!(keys(done(&stage, "foreign").await), ["new"]);
    assert_eq!(keys(done(&stage, "whole").await), ["new", "old"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_messages_of_two_streams_are_two_events() {
    let (stage, stream) = stage();
    let plain = || NewEntry::new("in.item".parse().unwrap(), r#"{"key":"k","n":0,"mode":"emit"}"#);
    let own = commit(&stage.log, vec![plain()]).await.unwrap().last;
    let other = commit(&stream, vec![plain()]).await.unwrap().last;
    assert_eq!(own, other);
    let engine = stage.start("a", vec![spec("own"), foreign()]).await;
    stage.handled("own", own).await;
    stage.handled("foreign", other).await;
    engine.drain(Duration::from_secs(5)).await;
    let cause = |done: Done| done.emitted[0].0.clone();
    assert_eq!(cause(done(&stage, "own").await), "log-1");
    assert_eq!(cause(done(&stage, "foreign").await), "SOURCE-1");
}

/// Keeps what partitions say.
#[derive(Default)]
struct Heard(Mutex<Vec<PartitionChange>>);

impl Observe for Heard {
    fn handled(&self, _: &Handled<'_>) {}

    fn partition(&self, _: &HandlerName, _: Partition, change: &PartitionChange) {
        self.0.lock().unwrap().push(change.clone());
    }
}

/// Starts a handler and gives what it says until something of this sort comes.
async fn said(stage: &Stage, spec: HandlerSpec, awaited: fn(&PartitionChange) -> Option<&String>) -> String {
    let heard = Arc::new(Heard::default());
    let hosted = Hosted::new(spec, Arc::new(Scripted(count)));
    let engine = stage.start_hosted("a", vec![hosted], heard.clone()).await;
    let wait = async {
        loop {
            let found = heard.0.lock().unwrap().iter().find_map(|change| awaited(change).cloned());
            match found {
                Some(text) => return text,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let text = tokio::time::timeout(PATIENCE, wait).await.expect("it says so");
    engine.drain(Duration::from_secs(5)).await;
    text
}

fn stopped(change: &PartitionChange) -> Option<&String> {
    match change {
        PartitionChange::Stopped(why) => Some(why),
        _ => None,
    }
}

fn interrupted(change: &PartitionChange) -> Option<&String> {
    match change {
        PartitionChange::Interrupted(why) => Some(why),
        _ => None,
    }
}

/// A stage on which the stream was read up to position 5.
async fn read_before() -> (Stage, MemoryLog) {
    let (stage, stream) = stage();
    for n in 0..5 {
        put(&stream, "k", n, "both").await;
    }
    let engine = stage.start("a", vec![foreign()]).await;
    stage.handled("foreign", Position(5)).await;
    engine.drain(Duration::from_secs(5)).await;
    (stage, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_made_anew_stops_its_handler_until_somebody_begins_anew() {
    let (stage, _) = read_before().await;
    let anew = memory(&["in.>"]);
    stage.outside.put_stream(source(), made(60), anew.clone());
    let mut last = Position::NONE;
    for n in 0..9 {
        last = put(&anew, "k", n, "both").await;
    }
    let why = said(&stage, foreign(), stopped).await;
    insta::assert_snapshot!(why, @"the stream `SOURCE` that was read up to 5 is gone, and another of this name was made at 2027-01-15T08:01:00Z: restore the former one, or give the handler another name, under which it begins anew");

    // As the message says.
    let renamed = HandlerSpec { name: "again".parse().unwrap(), ..foreign() };
    let engine = stage.start("a", vec![renamed]).await;
    stage.handled("again", last).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(done(&stage, "again").await.state["k"], "9");

    // With its checkpoint deleted it begins anew, too: the marks of the former stream must not count.
    let checkpoint = "wx.test.checkpoint.foreign.0".parse().unwrap();
    stage.log.remove(&checkpoint, stage.log.bounds().await.unwrap().last).await.unwrap();
    let engine = stage.start("a", vec![foreign()]).await;
    stage.handled("foreign", last).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(done(&stage, "foreign").await.state["k"], "14");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_has_lost_its_end_stops_its_handler() {
    let (stage, _) = read_before().await;
    let older = memory(&["in.>"]);
    put(&older, "k", 0, "both").await;
    stage.outside.put_stream(source(), made(0), older);
    let why = said(&stage, foreign(), stopped).await;
    insta::assert_snapshot!(why, @"the stream `SOURCE` ends at 1, but was read up to 5: it was restored from an older copy; restore a newer one, or give the handler another name, under which it begins anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_is_to_read_something_else_stops() {
    let (stage, _) = read_before().await;
    let why = said(&stage, spec("foreign"), stopped).await;
    insta::assert_snapshot!(why, @"handler `foreign` has read the stream `SOURCE` until now, and is to read the app's log, where other events have the same positions: give the handler another name, under which it begins anew");
    let other: StreamName = "OTHER".parse().unwrap();
    stage.outside.put_stream(other.clone(), made(0), memory(&["in.>"]));
    let why = said(&stage, HandlerSpec { stream: Some(other), ..foreign() }, stopped).await;
    assert!(why.contains("is to read the stream `OTHER`, where"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_waits_for_a_stream_that_is_gone_and_goes_on_when_it_is_back() {
    let (stage, stream) = read_before().await;
    stage.outside.remove_stream(&source());
    let why = said(&stage, foreign(), interrupted).await;
    assert_eq!(why, "there is no stream `SOURCE`");
    let engine = stage.start("a", vec![foreign()]).await;
    let last = put(&stream, "k", 5, "both").await;
    stage.outside.put_stream(source(), made(0), stream);
    stage.handled("foreign", last).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(done(&stage, "foreign").await.state["k"], "6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_too_large_to_be_parked_whole_is_read_again_from_its_own_stream() {
    let (mut stage, stream) = stage();
    stage.log = memory_of(&["in.>", "out.>", "wx.test.>"], 3_000);
    let data = |key: &str, pad: usize| format!(r#"{{"key":"{key}","pad":"{}"}}"#, "x".repeat(pad));
    let item = |data: String| NewEntry::new("in.item".parse().unwrap(), data);
    // At the same position of the app's log stands something else.
    commit(&stage.log, vec![item(data("own", 10))]).await.unwrap();
    let last = commit(&stream, vec![item(data("foreign", 5_000))]).await.unwrap().last;
    let failing_first = |mut script: Script| async move {
        let data: serde_json::Value = serde_json::from_slice(&script.event.data).unwrap();
        if script.event.attempt == 1 {
            return Err(Failure::new(FailureKind::Retry, "at first"));
        }
        script.set(data["key"].as_str().unwrap(), data["pad"].as_str().unwrap().len().to_string());
        Ok(script)
    };
    let mut spec = foreign();
    (spec.retry.immediate, spec.retry.first) = (1, Duration::from_millis(10));
    let hosted = Hosted::new(spec, Arc::new(Scripted(failing_first)));
    let engine = stage.start_hosted("a", vec![hosted], Arc::new(Unobserved)).await;
    stage.handled("foreign", last).await;
    let written = async {
        while done(&stage, "foreign").await.state.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the second attempt has its effect");
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(done(&stage, "foreign").await.state, BTreeMap::from([("foreign".into(), "5000".into())]));
}
