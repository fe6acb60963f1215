//! Killed at any moment, host or server: the outputs and states are those of an undisturbed run.

use std::time::Duration;

use rand::Rng;
use waxwing_event::Position;

use crate::{
    app::{App, Backing, HostProcess, PATIENCE},
    counters::{COUNTERS, HANDLERS, inputs, settled},
    seed::seeded,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_killed_thirty_times_under_load() {
    const ROUNDS: u64 = 30;
    const EACH: u64 = 150;
    let mut random = seeded();
    let app = App::new(COUNTERS).await;
    // The first start makes the stream and compiles the module.
    let mut host = app.host().await;
    let (mut all, mut last) = (Vec::new(), Position::NONE);
    for round in 0..ROUNDS {
        let burst = inputs(&mut random, round * EACH, EACH);
        let moment = Duration::from_millis(random.random_range(0..250));
        let (position, ()) = tokio::join!(app.publish(&burst), async {
            // The moment is what is tested: any will do.
            tokio::time::sleep(moment).await;
            host.kill().await;
        });
        (last, host) = (position, app.launch());
        all.extend(burst);
    }
    settled(&app, last, &all).await;
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_killed_and_restarted_under_load() {
    let mut random = seeded();
    let mut app = App::new(COUNTERS).await;
    let host = app.host().await;
    let (mut all, mut last) = (Vec::new(), Position::NONE);
    for round in 0..4 {
        let burst = inputs(&mut random, round * 1_000, 1_000);
        last = app.publish(&burst).await;
        all.extend(burst);
        // Right behind the burst, the host is in the midst of it.
        app.server.process.kill_hard().await.unwrap();
        app.server.process.restart().await.unwrap();
    }
    settled(&app, last, &all).await;
    assert!(host.stop().await);
}

/// The id in a handler's lease.
pub async fn owner<B: Backing>(app: &App<B>) -> String {
    let log = app.log().await;
    let lease = app.layout.lease(&"both".parse().unwrap(), waxwing_engine::entry::Partition(0));
    let entry = waxwing_engine::port::Log::last(&log, &lease).await.unwrap().unwrap();
    waxwing_engine::entry::Lease::read(&entry).unwrap().host.unwrap_or_default()
}

/// Waits until another than `former` has the lease; gives the time that took.
pub async fn new_owner<B: Backing>(app: &App<B>, former: &str) -> Duration {
    let started = std::time::Instant::now();
    let wait = async {
        loop {
            let now = owner(app).await;
            if now != former && !now.is_empty() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("another host takes over");
    started.elapsed()
}

/// Two hosts of one app, of which the first has all partitions.
async fn two_hosts(app: &App) -> (HostProcess, HostProcess) {
    let first = app.host().await;
    let second = app.standby().await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_takes_over_within_the_lease_time() {
    let mut random = seeded();
    let app = App::new(COUNTERS).await;
    let (first, second) = two_hosts(&app).await;
    let former = owner(&app).await;
    let mut all = inputs(&mut random, 0, 2_000);
    app.publish(&all).await;
    assert_eq!(owner(&app).await, former, "the second host waits");
    first.kill().await;
    let took = new_owner(&app, &former).await;
    println!("taken over after {took:?}");
    assert!(took < Duration::from_secs(5), "a lease of 1 s, and room for a busy machine: {took:?}");
    let more = inputs(&mut random, 2_000, 500);
    let last = app.publish(&more).await;
    all.extend(more);
    settled(&app, last, &all).await;
    assert!(second.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_owner_that_wakes_up_cannot_write() {
    let mut random = seeded();
    let app = App::new(COUNTERS).await;
    let (first, second) = two_hosts(&app).await;
    let former = owner(&app).await;
    let mut all = inputs(&mut random, 0, 3_000);
    app.publish(&all).await;
    first.signal("STOP").await;
    new_owner(&app, &former).await;
    let more = inputs(&mut random, 3_000, 500);
    let last = app.publish(&more).await;
    all.extend(more);
    for handler in HANDLERS {
        app.handled(handler, last).await;
    }
    let taken_over = app.result().await;
    first.signal("CONT").await;
    // It wakes up with runs and commits under way; when it drains, all of them have been tried.
    assert!(first.stop().await);
    app.result().await.assert_same(&taken_over);
    settled(&app, last, &all).await;
    assert!(second.stop().await);
}
