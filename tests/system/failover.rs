//! Three servers keep the log. Its leader is killed again and again under load, hosts are paused beside that;
//! or all servers are killed at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use waxwing_engine::port::{
    Log,
    log::{CommitError, Entry, Expect, NewEntry, Part, commit},
};
use waxwing_event::{Pattern, Position, Subject};
use waxwing_log::{JetStreamLog, jetstream::Options};

use crate::{
    app::{self, App, Backing, HostProcess, Input, PATIENCE},
    cluster::{Cluster, Sync},
    counters::{COUNTERS, inputs, settled},
    seed::seeded,
};

/// How long leaders are killed; the environment can choose another number of seconds.
const LASTS: Duration = Duration::from_secs(120);
const LASTS_VARIABLE: &str = "WAXWING_TEST_FAILOVER_SECONDS";

/// From one kill to the next.
const EVERY: Duration = Duration::from_secs(10);

/// Inputs come so often: what is tested is what happens to them, not how many there are.
const INPUT_EVERY: Duration = Duration::from_millis(30);

/// How often each contender tries to win.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// How long a host is paused: longer than its lease.
const PAUSE: Duration = Duration::from_secs(6);

const REPLICATED: &str = r#"
[app]
name = "replicated"
events = ["in.>", "counter.>", "contest.>"]
replicas = 3

[host]
lease = "3s"

[handlers.thrice]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.thrice.grants]
emit = ["counter.counted"]
settings = { mode = "thrice" }

[handlers.once]
module = "counter.wasm"
on = ["in.>"]

[handlers.once.grants]
emit = ["counter.counted"]
settings = { mode = "emit" }
"#;

const HANDLERS: [&str; 2] = ["thrice", "once"];

/// Tells when the load is to end.
#[derive(Clone, Default)]
struct Enough(Arc<AtomicBool>);

impl Enough {
    fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

async fn log_of(app: &App<Cluster>) -> Arc<JetStreamLog> {
    let events = ["in.>", "counter.>", "contest.>"].map(|events| events.parse().unwrap());
    let options = Options { replicas: 3, ..Options::new(app.layout.app().clone(), events.to_vec()) };
    Arc::new(JetStreamLog::open(&app.server.address(), &options).await.unwrap())
}

/// Publishes inputs one after the other, each until it is acknowledged; gives where each stands.
async fn publish(client: async_nats::Client, enough: Enough) -> Vec<(Position, Input)> {
    let context = async_nats::jetstream::new(client);
    let mut published = Vec::new();
    for n in 0_u64.. {
        if enough.is_said() {
            break;
        }
        let data = json!({ "key": format!("k{}", n % 10), "n": n });
        let input = Input::new("in.item", format!("in-{n}"), &data);
        let mut headers = async_nats::HeaderMap::new();
        input.headers().iter().for_each(|(name, value)| headers.insert(name, value));
        headers.insert("Nats-Msg-Id", input.id.as_str());
        let position = loop {
            let sent =
                context.publish_with_headers(input.subject.clone(), headers.clone(), input.data.clone());
            if let Ok(ack) = sent.await
                && let Ok(ack) = ack.await
            {
                break Position(ack.sequence);
            }
            sleep(INPUT_EVERY).await;
        };
        published.push((position, input));
        sleep(INPUT_EVERY).await;
    }
    published
}

/// What a task that was told to end has to tell.
async fn ended<T>(who: &str, task: JoinHandle<T>) -> T {
    let ended = timeout(PATIENCE, task).await;
    ended.unwrap_or_else(|_| panic!("{who} does not end")).unwrap()
}

fn contested() -> Subject {
    "contest.crown".parse().unwrap()
}

/// Tries again and again to follow upon the last winner; gives what it won.
async fn contend(log: Arc<JetStreamLog>, name: &str, enough: Enough) -> Vec<(Position, String)> {
    let mut won = Vec::new();
    while !enough.is_said() {
        if let Ok(last) = log.last(&contested()).await {
            let last = last.map_or(Position::NONE, |entry| entry.position);
            let claim = format!("{name} after {last}");
            let mut entry = NewEntry::new(contested(), claim.clone());
            entry.expect = Some(Expect { subject: None, last });
            match commit(log.as_ref(), vec![entry]).await {
                Ok(committed) => won.push((committed.last, claim)),
                Err(CommitError::Invalid(why)) => panic!("{why}"),
                // Lost to the other, or to the leader's death, in which case it may have won unknowingly.
                Err(_) => {}
            }
        }
        sleep(TRY_EVERY).await;
    }
    won
}

/// Follows the app's events until all up to `last` have been read; gives them.
async fn follow(log: Arc<JetStreamLog>, last: tokio::sync::oneshot::Receiver<Position>) -> Vec<Entry> {
    let events: [Pattern; 2] = ["in.>", "counter.>"].map(|events| events.parse().unwrap());
    let mut reader = log.read(Position(1), &events, Part::Whole).await.unwrap();
    let mut read: Vec<Entry> = Vec::new();
    let mut last = std::pin::pin!(last);
    let mut end = None;
    while end.is_none_or(|end| read.last().is_none_or(|entry| entry.position < end)) {
        tokio::select! {
            entries = reader.next(1000) => read.extend(entries.unwrap()),
            position = &mut last, if end.is_none() => end = Some(position.unwrap()),
        }
    }
    read
}

/// Kills the leader of the log, and starts it again once another has taken over; gives how often.
async fn kill_leaders(app: &mut App<Cluster>, until: Instant) -> u32 {
    let stream = app.layout.stream();
    let mut kills = 0;
    while Instant::now() < until {
        let next = Instant::now() + EVERY;
        let leader = app.server.settled(&stream).await;
        app.server.nodes[leader].kill().await;
        kills += 1;
        app.server.led_by_another(&stream, leader).await;
        app.server.nodes[leader].start().await;
        sleep_until(next.min(until)).await;
    }
    kills
}

/// Pauses one host after the other for longer than its lease.
async fn pause_hosts(hosts: &[HostProcess; 2], lasts: Duration) {
    for host in hosts {
        sleep((lasts / 3).saturating_sub(PAUSE)).await;
        host.signal("STOP").await;
        sleep(PAUSE).await;
        host.signal("CONT").await;
    }
}

/// Each winner followed upon the one before it.
fn check_contest(entries: &[Entry], won: &[(Position, String)]) {
    let mut last = Position::NONE;
    let mut claims = Vec::new();
    for entry in entries.iter().filter(|entry| entry.subject == contested()) {
        let claim = String::from_utf8(entry.payload.to_vec()).unwrap();
        assert!(claim.ends_with(&format!(" after {last}")), "`{claim}` won at {}", entry.position);
        last = entry.position;
        claims.push((last, claim));
    }
    for winner in won {
        assert!(claims.contains(winner), "{winner:?} is not in the log");
    }
}

/// What `thrice` emits for an event stands side by side, three times.
fn check_batches(outcome: &app::Outcome) {
    let thrice: Vec<_> = outcome.emitted.iter().filter(|event| event.source.ends_with("/thrice")).collect();
    for batch in thrice.chunks(3) {
        let places: Vec<_> = batch.iter().map(|event| (&event.causation_id, event.position)).collect();
        let (cause, first) = places[0];
        let whole = [0, 1, 2].map(|index| (cause, Position(first.0 + index)));
        assert_eq!(places, whole, "a batch is not whole");
    }
}

fn lasts() -> Duration {
    let chosen = std::env::var(LASTS_VARIABLE).ok();
    chosen.map_or(LASTS, |seconds| Duration::from_secs(seconds.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_three_servers_killed_every_ten_seconds() {
    let lasts = lasts();
    let mut app = App::on(Cluster::three(Sync::Lazy).await, REPLICATED);
    let hosts = [app.host().await, app.host().await];
    let (enough, log) = (Enough::default(), log_of(&app).await);
    let publisher = tokio::spawn(publish(app.client().await, enough.clone()));
    let contenders = [
        tokio::spawn(contend(log_of(&app).await, "one", enough.clone())),
        tokio::spawn(contend(log_of(&app).await, "other", enough.clone())),
    ];
    let (end, last) = tokio::sync::oneshot::channel();
    let follower = tokio::spawn(follow(log.clone(), last));

    let until = Instant::now() + lasts;
    let (kills, ()) = tokio::join!(kill_leaders(&mut app, until), pause_hosts(&hosts, lasts));
    enough.say();
    let published = ended("the publisher", publisher).await;
    let contenders = contenders.map(|contender| ended("a contender", contender));
    let won: Vec<_> = join_all(contenders).await.into_iter().flatten().collect();
    app.server.settled(&app.layout.stream()).await;
    let last = published.last().unwrap().0;
    for handler in HANDLERS {
        app.handled(handler, last).await;
    }
    for host in hosts {
        assert!(host.stop().await, "{}", app.host_log());
    }

    let entries = app::entries(log.as_ref()).await;
    println!("{kills} kills, {} inputs, {} wins", published.len(), won.len());
    let of_app = |entry: &&Entry| ["in.", "counter."].iter().any(|of| entry.subject.as_str().starts_with(of));
    let events: Vec<Entry> = entries.iter().filter(of_app).cloned().collect();
    end.send(events.last().unwrap().position).unwrap();
    assert!(ended("the follower", follower).await == events, "what was read once has changed");
    for (position, input) in &published {
        let kept = entries.iter().find(|entry| entry.position == *position);
        assert!(kept.is_some_and(|entry| entry.payload == input.data), "{} is lost", input.id);
    }
    check_contest(&entries, &won);
    let outcome = app.result().await;
    check_batches(&outcome);
    // In the order of the log: should a publisher's second attempt stand there too, it is an input like others.
    let inputs: Vec<Input> = events.iter().filter_map(input).collect();
    assert_eq!(outcome.dead, []);
    outcome.assert_same(&app::undisturbed(REPLICATED, &HANDLERS, &inputs).await);
    assert!(!app.host_log().contains("somebody must help"), "{}", app.host_log());
    assert!(u64::from(kills) * 3 > lasts.as_secs() / EVERY.as_secs(), "the servers took too long: {kills}");
}

/// The input that stands in an entry.
fn input(entry: &Entry) -> Option<Input> {
    let subject = Some(entry.subject.as_str().to_owned()).filter(|subject| subject.starts_with("in."))?;
    let id = entry.headers.get("ce-id").unwrap().to_owned();
    Some(Input { subject, id, data: entry.payload.clone() })
}

async fn all_servers_killed(cluster: Cluster) {
    const ROUNDS: u64 = 3;
    const EACH: u64 = 200;
    let mut random = seeded();
    let replicas = format!("replicas = {}\n\n[host]", cluster.nodes.len());
    let mut app = App::on(cluster, &COUNTERS.replace("[host]", &replicas));
    let host = app.host().await;
    let (mut all, mut last) = (Vec::new(), Position::NONE);
    for round in 0..ROUNDS {
        let burst = inputs(&mut random, round * EACH, EACH);
        last = app.publish(&burst).await;
        all.extend(burst);
        // Right behind the burst, the host is in the midst of it.
        app.server.kill_all().await;
        app.server.start_all().await;
        app.server.settled(&app.layout.stream()).await;
    }
    settled(&app, last, &all).await;
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_syncs_always_killed_under_load() {
    all_servers_killed(Cluster::single(Sync::Always).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_killed_at_once_under_load() {
    all_servers_killed(Cluster::three(Sync::Lazy).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_that_sync_always_killed_at_once_under_load() {
    all_servers_killed(Cluster::three(Sync::Always).await).await;
}
