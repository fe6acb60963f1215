//! Input from streams that the app does not own, on a real server with real modules.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use waxwing_event::Position;

use super::target::make;
use crate::app::{self, App, Input, Outcome, PATIENCE};

/// Two handlers that read the app's log and two that read a stream; each once with state and events and once
/// with events alone. Both have positions from 1 on.
const COUNTERS: &str = r#"
[app]
name = "foreign"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.own]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.own.grants]
emit = ["counter.counted"]

[handlers.foreign]
module = "counter.wasm"
stream = "SOURCE"
on = ["src.>"]
key = "data.key"

[handlers.foreign.grants]
emit = ["counter.counted"]
settings = { mode = "none-on-even" }

[handlers.emit]
module = "counter.wasm"
stream = "SOURCE"
on = ["src.item"]

[handlers.emit.grants]
emit = ["counter.counted"]
settings = { mode = "emit" }
"#;

/// What comes of these inputs undisturbed, in the same app to whose log the stream's subjects belong.
async fn undisturbed(own: &[Input], foreign: &[Input]) -> Outcome {
    let twin = COUNTERS.replace("stream = \"SOURCE\"\n", "").replace("[\"in.>\",", "[\"in.>\", \"src.>\",");
    let mut whole = app::undisturbed(&twin, &["own"], own).await;
    let other = app::undisturbed(&twin, &["foreign", "emit"], foreign).await;
    whole.emitted.extend(other.emitted);
    whole.state.extend(other.state);
    whole.dead.extend(other.dead);
    whole
}

fn inputs(random: &mut StdRng, subject: &str, from: u64, many: u64) -> Vec<Input> {
    let mut input = |n: u64| {
        let data = json!({ "key": format!("k{}", random.random_range(0..20)), "n": n });
        Input::new(subject, format!("{subject}-{n}"), &data)
    };
    (from..from + many).map(&mut input).collect()
}

async fn source(app: &App) {
    make(app, "SOURCE", &["src.>"], stream::Config::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_of_the_log_and_of_the_stream_counts_once_though_the_host_is_killed() {
    const ROUNDS: u64 = 15;
    const EACH: u64 = 100;
    let seed: u64 = rand::random_range(0..1_000_000);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = App::new(COUNTERS).await;
    source(&app).await;
    let mut host = app.host().await;
    let (mut all_own, mut all_foreign) = (Vec::new(), Vec::new());
    let mut ends = (Position::NONE, Position::NONE);
    for round in 0..ROUNDS {
        let own = inputs(&mut random, "in.item", round * EACH, EACH);
        let foreign = inputs(&mut random, "src.item", round * EACH, EACH);
        let moment = Duration::from_millis(random.random_range(0..300));
        let (own_end, foreign_end, ()) = tokio::join!(app.publish(&own), app.publish(&foreign), async {
            // The moment is what is tested: any will do.
            tokio::time::sleep(moment).await;
            host.kill().await;
        });
        (ends, host) = ((own_end, foreign_end), app.launch());
        all_own.extend(own);
        all_foreign.extend(foreign);
    }
    app.handled("own", ends.0).await;
    app.handled("foreign", ends.1).await;
    app.handled("emit", ends.1).await;
    assert_eq!(ends.1, Position(ROUNDS * EACH));
    app.result().await.assert_same(&undisturbed(&all_own, &all_foreign).await);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_of_the_stream_counts_once_though_the_server_is_killed() {
    let mut random = StdRng::seed_from_u64(1);
    let mut app = App::new(COUNTERS).await;
    source(&app).await;
    let host = app.host().await;
    let (mut all, mut last) = (Vec::new(), Position::NONE);
    for round in 0..3 {
        let burst = inputs(&mut random, "src.item", round * 500, 500);
        last = app.publish(&burst).await;
        all.extend(burst);
        // Right behind the burst, the host is in the midst of it.
        app.server.process.kill_hard().await.unwrap();
        app.server.process.restart().await.unwrap();
    }
    app.handled("foreign", last).await;
    app.handled("emit", last).await;
    app.result().await.assert_same(&undisturbed(&[], &all).await);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_stream_is_named_at_the_start() {
    let app = App::new(COUNTERS).await;
    let run = app.command(&["run"]).output().await.unwrap();
    assert_eq!(run.status.code(), Some(1));
    let said = String::from_utf8(run.stderr).unwrap();
    let said = said.lines().find(|line| line.starts_with("error:")).unwrap();
    insta::assert_snapshot!(said, @"error: handler `foreign` cannot read its stream: there is no stream `SOURCE`: make it with `nats stream add SOURCE`, or correct `stream` in waxwing.toml");
    let queue = stream::Config { retention: stream::RetentionPolicy::WorkQueue, ..stream::Config::default() };
    make(&app, "SOURCE", &["src.>"], queue).await;
    let run = app.command(&["run"]).output().await.unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    let said = said.lines().find(|line| line.starts_with("error:")).unwrap();
    insta::assert_snapshot!(said, @"error: handler `foreign` cannot read its stream: the stream `SOURCE` drops entries once they are read (its retention is not `limits`): read a stream that sources it instead");
}

/// Waits until the hosts have logged this.
async fn logged(app: &App, text: &str) {
    let wait = async {
        while !app.host_log().contains(text) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "`{text}` is not logged:\n{}", app.host_log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_disturbs_nobody_and_a_stream_that_was_deleted_stops_its_handlers_alone() {
    let mut random = StdRng::seed_from_u64(2);
    let app = App::new(COUNTERS).await;
    source(&app).await;
    let host = app.host().await;
    let mut all = inputs(&mut random, "src.item", 0, 50);
    let mut last = app.publish(&all).await;
    app.handled("foreign", last).await;
    app.handled("emit", last).await;
    let context = jetstream::new(app.client().await);
    context.get_stream("SOURCE").await.unwrap().purge().await.unwrap();
    let more = inputs(&mut random, "src.item", 50, 50);
    last = app.publish(&more).await;
    assert_eq!(last, Position(100), "a purge keeps the positions");
    all.extend(more);
    app.handled("foreign", last).await;
    app.handled("emit", last).await;

    context.delete_stream("SOURCE").await.unwrap();
    logged(&app, "the stream `SOURCE` is gone").await;
    logged(&app, "there is no stream `SOURCE`: make it with `nats stream add SOURCE`").await;
    let rows: serde_json::Value = serde_json::from_str(&app.run(&["ls", "--output", "json"]).await).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["handler"] == "foreign").unwrap();
    assert_eq!((&row["state"], &row["stream"]), (&json!("no-stream"), &json!("SOURCE")));
    let own = inputs(&mut random, "in.item", 0, 20);
    let last_own = app.publish(&own).await;
    app.handled("own", last_own).await;

    // Longer than the former one was, so that positions alone would not tell.
    source(&app).await;
    app.publish(&inputs(&mut random, "src.item", 100, 200)).await;
    logged(&app, "another of this name was made at").await;
    app.result().await.assert_same(&undisturbed(&own, &all).await);
    assert!(host.stop().await);
}
