//! The relay on a log in memory: what goes out, in which order, and what a crash or a refusal does to it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use waxwing_engine::entry::Partition;
use waxwing_engine::{
    Hosted,
    entry::{Lease, Outgoing, Refusal},
    gauges::Gauges,
    port::{
        Log, Observe,
        log::{Expect, Keep, NewEntry, Part, commit},
        observe::{Handled, OutboxChange, PartitionChange},
        outside::{Message, SendError},
    },
};
use waxwing_event::{HandlerName, HandlerSpec, handler::Audience};

use super::stage::{PATIENCE, Stage, all, patterns, put, spec};
use crate::scripted::{Scripted, count};

/// A handler whose events leave the log.
fn leaving() -> HandlerSpec {
    let mut spec = spec("count");
    spec.grants.publish = patterns(&["out.>"]);
    spec
}

/// The number of the input that caused a message.
fn number(message: &Message) -> u64 {
    serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap()["n"].as_u64().unwrap()
}

/// The numbers of all that went out, in order; what came twice is counted once.
fn numbers(stage: &Stage) -> Vec<u64> {
    let taken = stage.outside.taken();
    taken.iter().filter(|taken| !taken.duplicate).map(|taken| number(&taken.message)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_out_in_order_as_their_target_would_have_them() {
    let stage = Stage::new();
    let mut spec = leaving();
    spec.grants.live = patterns(&["screens.>"]);
    let engine = stage.start("a", vec![spec]).await;
    for n in 0..300 {
        put(&stage.log, "k", n, "both").await;
    }
    stage.out(300).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(numbers(&stage), (0..300).collect::<Vec<_>>());
    for taken in stage.outside.taken() {
        let Message { id, subject, audience, headers, .. } = taken.message;
        assert_eq!((subject.as_str(), audience), ("out.counted", Audience::Stream));
        assert_eq!(headers.get("ce-id"), Some(id.as_str()));
        assert_eq!(headers.get("ce-source"), Some("/test/count"));
        assert!(headers.iter().all(|(name, _)| name.starts_with("ce-")), "{headers:?}");
        assert!(!taken.duplicate);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_and_counted_leaves_the_log() {
    let stage = Stage::new();
    let engine = stage.start("a", vec![leaving()]).await;
    let mut last = put(&stage.log, "k", 0, "emit").await;
    for n in 1..50 {
        last = put(&stage.log, "k", n, "emit").await;
    }
    stage.out(50).await;
    stage.handled("count", last).await;
    engine.drain(Duration::from_secs(5)).await;
    // A relay tidies soon after its start.
    let engine = stage.start("a", vec![leaving()]).await;
    put(&stage.log, "k", 50, "emit").await;
    let emptied = async {
        while stage.in_outbox("count").await > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied).await.expect("the outbox is tidied");
    engine.drain(Duration::from_secs(5)).await;
    // Nothing is run again though its mark is gone.
    let engine = stage.start("a", vec![leaving()]).await;
    stage.out(51).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(numbers(&stage), (0..51).collect::<Vec<_>>());
}

/// Crashes at random moments; gives what went out.
async fn stormy(seed: u64) {
    println!("seed {seed}");
    const ROUNDS: u64 = 8;
    const EACH: u64 = 60;
    let (stage, mut random) = (Stage::new(), StdRng::seed_from_u64(seed));
    for round in 0..ROUNDS {
        for n in round * EACH..(round + 1) * EACH {
            put(&stage.log, "k", n, if random.random() { "both" } else { "emit" }).await;
        }
        let engine = stage.start("a", vec![leaving()]).await;
        for _ in 0..random.random_range(0..600) {
            tokio::task::yield_now().await;
        }
        drop(engine);
    }
    let all = usize::try_from(ROUNDS * EACH).unwrap();
    let engine = stage.start("a", vec![leaving()]).await;
    stage.out(all).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(numbers(&stage), (0..ROUNDS * EACH).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_crash_at_any_moment_loses_nothing_and_changes_no_order() {
    let first: u64 = rand::random_range(0..1_000_000);
    for seed in first..first + 15 {
        stormy(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_set_aside_because_nobody_answered() {
    let (stage, tries) = (Stage::new(), AtomicUsize::new(0));
    stage.outside.answer(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
        0..10 => Err(SendError::Away("nobody is there".to_owned())),
        _ => Ok(()),
    });
    let engine = stage.start("a", vec![leaving()]).await;
    for n in 0..100 {
        put(&stage.log, "k", n, "emit").await;
    }
    stage.out(100).await;
    engine.drain(Duration::from_secs(5)).await;
    let mut went = numbers(&stage);
    went.sort_unstable();
    assert_eq!(went, (0..100).collect::<Vec<_>>());
    assert_eq!(refused(&stage).await, []);
}

/// The numbers of the events that were refused, with the reason.
async fn refused(stage: &Stage) -> Vec<(u64, String)> {
    let refusals = stage.layout.refusals(None);
    let entries = stage.log.last_of_each(&refusals, Part::Whole, 1000).await.unwrap();
    let told = entries.into_iter().map(|entry| {
        let about = Refusal::read(&entry).unwrap();
        assert_eq!(about.attempts, 2);
        (number(&Outgoing::read(entry).unwrap().message), about.reason)
    });
    let mut refused: Vec<_> = told.collect();
    refused.sort();
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_set_aside_and_the_others_go_on() {
    let (stage, tries) = (Stage::new(), Arc::new(AtomicUsize::new(0)));
    let counted = tries.clone();
    stage.outside.answer(move |message| match number(message) {
        n if n % 10 == 3 => {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(SendError::Refused("too large".to_owned()))
        }
        _ => Ok(()),
    });
    let mut spec = leaving();
    spec.outbox.attempts = 2.try_into().unwrap();
    let engine = stage.start("a", vec![spec]).await;
    for n in 0..40 {
        put(&stage.log, "k", n, "emit").await;
    }
    stage.out(36).await;
    let all_refused = async {
        while refused(&stage).await.len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_refused).await.expect("what is refused is set aside");
    let gauges = engine.gauges()[0].1.first().clone();
    engine.drain(Duration::from_secs(5)).await;
    let read = Gauges::read;
    assert_eq!((read(&gauges.outbox_out), read(&gauges.outbox_set_aside), read(&gauges.outbox)), (36, 4, 0));
    let reason = || "too large".to_owned();
    assert_eq!(refused(&stage).await, [(3, reason()), (13, reason()), (23, reason()), (33, reason())]);
    let mut went: Vec<u64> = numbers(&stage);
    went.sort_unstable();
    assert_eq!(went, (0..40).filter(|n| n % 10 != 3).collect::<Vec<_>>());
    assert_eq!(tries.load(Ordering::Relaxed), 8);
    assert!(all(&stage.log).await.iter().all(|entry| !entry.subject.as_str().starts_with("wx.test.dead.")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_in_flight_a_failure_changes_no_order() {
    let (stage, mut random) = (Stage::new(), StdRng::seed_from_u64(7));
    stage.outside.answer(move |_| match random.random_range(0..20) {
        0 => Err(SendError::Away("now and then".to_owned())),
        _ => Ok(()),
    });
    let mut spec = leaving();
    spec.outbox.in_flight = 1.try_into().unwrap();
    let engine = stage.start("a", vec![spec]).await;
    for n in 0..100 {
        put(&stage.log, "k", n, "emit").await;
    }
    stage.out(100).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(numbers(&stage), (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_goes_on_where_one_was_lost() {
    let stage = Stage::new();
    let first = stage.start("a", vec![leaving()]).await;
    let second = stage.start("b", vec![leaving()]).await;
    for n in 0..100 {
        put(&stage.log, "k", n, "emit").await;
    }
    stage.out(50).await;
    drop(first);
    for n in 100..200 {
        put(&stage.log, "k", n, "emit").await;
    }
    stage.out(200).await;
    second.drain(Duration::from_secs(5)).await;
    assert_eq!(numbers(&stage), (0..200).collect::<Vec<_>>());
}

/// Keeps what the outbox says.
#[derive(Default)]
struct Heard(Mutex<Vec<OutboxChange>>);

impl Observe for Heard {
    fn handled(&self, _: &Handled<'_>) {}
    fn partition(&self, _: &HandlerName, _: Partition, _: &PartitionChange) {}

    fn outbox(&self, _: &HandlerName, change: &OutboxChange) {
        self.0.lock().unwrap().push(change.clone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_idle_looks_at_its_lease_before_it_sends_on() {
    let (stage, heard) = (Stage::new(), Arc::new(Heard::default()));
    let hosted = Hosted::new(leaving(), Arc::new(Scripted(count)));
    let engine = stage.start_hosted("a", vec![hosted], heard.clone()).await;
    put(&stage.log, "k", 0, "emit").await;
    stage.out(1).await;
    let saved = async {
        while stage.log.last(&stage.layout.relayed(&"count".parse().unwrap())).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, saved).await.unwrap();
    // Another host, which lives for a while, has taken over.
    let relay = stage.layout.relay(&"count".parse().unwrap());
    let ours = stage.log.last(&relay).await.unwrap().unwrap().position;
    let lease = Lease { host: Some("b".to_owned()) }.write(relay, Expect { subject: None, last: ours });
    let mut lives = NewEntry::new(stage.layout.host("b"), "");
    lives.keep = Keep::For(Duration::from_secs(3));
    commit(&stage.log, vec![lives, lease]).await.unwrap();
    // Longer than half a lease: this is what is tested.
    tokio::time::sleep(Duration::from_millis(600)).await;
    put(&stage.log, "k", 1, "emit").await;
    let noticed = async {
        let lost = OutboxChange::Interrupted("another host relays".to_owned());
        while !heard.0.lock().unwrap().contains(&lost) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.expect("it notices");
    assert_eq!(numbers(&stage), [0]);
    // The other host is gone by its time.
    stage.out(2).await;
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(numbers(&stage), [0, 1]);
}
