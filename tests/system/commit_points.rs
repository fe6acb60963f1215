//! The host killed with SIGKILL at each point of a commit, fifty times each: outputs and states are those of
//! an undisturbed run.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use waxwing_event::Position;

use crate::{
    app::App,
    counters::{COUNTERS, inputs, settled},
    proxy::{Moment, Point, Proxied},
    seed::seed,
};

const KILLS: u64 = 50;

/// Inputs at first in each round, and so many more for as long as the moment has not come.
const EACH: u64 = 24;

/// How long a host may have nothing to do before it gets more.
const PACE: Duration = Duration::from_millis(300);

/// After so many kills a host ends well, which moves the checkpoint on: else recovery reads ever more.
const KILLS_IN_A_ROW: u64 = 10;

async fn killed_at(point: Point) {
    let app = App::on(Proxied::start().await, COUNTERS);
    // The first start makes the stream and compiles the module.
    assert!(app.host().await.stop().await);
    let first = seed();
    let (mut all, mut last) = (Vec::new(), Position::NONE);
    for round in 0..KILLS {
        let mut random = StdRng::seed_from_u64(first + round);
        let moment = Moment::random(point, &mut random);
        println!("seed {}: {moment:?}", first + round);
        app.server.proxy.arm(moment);
        let host = app.launch();
        loop {
            let more = inputs(&mut random, all.len() as u64, EACH);
            last = app.publish(&more).await;
            all.extend(more);
            if app.server.proxy.fired_within(PACE).await {
                break;
            }
            assert!(all.len() < 100_000, "the moment does not come: {}", app.host_log());
        }
        host.kill().await;
        if round % KILLS_IN_A_ROW == KILLS_IN_A_ROW - 1 {
            app.server.proxy.disarm();
            assert!(app.host().await.stop().await);
        }
    }
    app.server.proxy.disarm();
    let host = app.host().await;
    println!("{} inputs", all.len());
    settled(&app, last, &all).await;
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_killed_before_the_run() {
    killed_at(Point::BeforeTheRun).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_killed_after_the_run() {
    killed_at(Point::AfterTheRun).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_killed_in_mid_batch() {
    killed_at(Point::MidBatch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_killed_after_the_commit() {
    killed_at(Point::AfterTheCommit).await;
}
