//! The outbox on a real server with real modules: into another stream, to plain subscribers, and where nobody
//! takes an event.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{
    Message,
    jetstream::{self, stream},
};
use futures::StreamExt;
use rand::Rng;
use serde_json::{Value, json};

use super::target::{event, header, make, messages};
use crate::app::{App, Input, PATIENCE};

fn manifest(grant: &str) -> String {
    format!(
        r#"
[app]
name = "outbox"
events = ["in.>"]

[host]
lease = "1s"

[handlers.count]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.count.grants]
{grant} = ["counter.counted"]
"#
    )
}

fn inputs(from: u64, many: u64) -> Vec<Input> {
    let input =
        |n: u64| Input::new("in.item", format!("in-{n}"), &json!({ "key": format!("k{}", n % 5), "n": n }));
    (from..from + many).map(input).collect()
}

/// Each key's counts from 1 on, without a gap, in order, and each message as it should be.
fn check(messages: &[Message]) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for message in messages {
        let event = event(message);
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        let count = counts.entry(data["key"].as_str().unwrap().to_owned()).or_default();
        *count += 1;
        assert_eq!(data["count"].as_u64(), Some(*count), "the events of a key go out in order");
        assert_eq!(event.causation_id, Some(format!("in-{}", data["n"])));
        assert_eq!(event.source, "/outbox/count");
        assert_eq!(header(message, "Nats-Msg-Id"), Some(event.id.as_str()));
        assert_eq!(header(message, "wx-mark").or(header(message, "wx-to")), None, "what is the host's stays");
    }
}

/// What `waxwing outbox ls` tells.
async fn listed(app: &App) -> Vec<Value> {
    serde_json::from_str(&app.run(&["outbox", "ls", "--output", "json"]).await).unwrap()
}

/// Waits until that is so many events.
async fn wait_for_listed(app: &App, status: &str, count: usize) -> Vec<Value> {
    let wait = async {
        loop {
            let listed = listed(app).await;
            if listed.len() == count && listed.iter().all(|event| event["status"] == status) {
                return listed;
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("there are no {count} {status}:\n{}", app.host_log()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_stream_has_each_event_once_and_in_order_though_the_host_is_killed() {
    const ROUNDS: u64 = 12;
    const EACH: u64 = 150;
    let app = App::new(&manifest("publish")).await;
    make(&app, "COUNTS", &["counter.>"], stream::Config::default()).await;
    let mut host = app.host().await;
    for round in 0..ROUNDS {
        let moment = Duration::from_millis(rand::rng().random_range(0..400));
        let burst = inputs(round * EACH, EACH);
        tokio::join!(app.publish(&burst), async {
            // The moment is what is tested: any will do.
            tokio::time::sleep(moment).await;
            host.kill().await;
        });
        host = app.launch();
    }
    let messages = messages(&app, "COUNTS", (ROUNDS * EACH) as usize).await;
    check(&messages);
    assert!(wait_for_listed(&app, "waiting", 0).await.is_empty());
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_stream_has_each_event_once_and_in_order_though_the_server_is_killed() {
    let mut app = App::new(&manifest("publish")).await;
    make(&app, "COUNTS", &["counter.>"], stream::Config::default()).await;
    let host = app.host().await;
    for round in 0..3 {
        app.publish(&inputs(round * 400, 400)).await;
        // Right behind the burst, the host is in the midst of it.
        app.server.process.kill_hard().await.unwrap();
        app.server.process.restart().await.unwrap();
    }
    check(&messages(&app, "COUNTS", 1_200).await);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_relay_that_wakes_up_too_late_changes_nothing() {
    let app = App::new(&manifest("publish")).await;
    make(&app, "COUNTS", &["counter.>"], stream::Config::default()).await;
    let (first, second) = (app.host().await, app.standby().await);
    app.publish(&inputs(0, 600)).await;
    first.signal("STOP").await;
    app.publish(&inputs(600, 300)).await;
    let before = messages(&app, "COUNTS", 900).await;
    first.signal("CONT").await;
    // When it drains, all that it had under way has been tried.
    assert!(first.stop().await);
    let after = messages(&app, "COUNTS", 900).await;
    let payloads = |messages: &[Message]| messages.iter().map(|m| m.payload.clone()).collect::<Vec<_>>();
    assert_eq!(payloads(&before), payloads(&after));
    check(&after);
    assert!(second.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_subscribers_are_told_and_nobody_need_listen() {
    let app = App::new(&manifest("live")).await;
    let mut heard = app.client().await.subscribe("counter.>").await.unwrap();
    let host = app.host().await;
    app.publish(&inputs(0, 300)).await;
    let wait = async {
        let mut all = Vec::new();
        while all.len() < 300 {
            all.push(heard.next().await.unwrap());
        }
        all
    };
    let all = tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert!(all.iter().all(|message| message.reply.is_none()));
    check(&all);
    heard.unsubscribe().await.unwrap();
    let last = app.publish(&inputs(300, 50)).await;
    app.handled("count", last).await;
    wait_for_listed(&app, "waiting", 0).await;
    assert!(host.stop().await);
    assert!(!app.host_log().contains("WARN"), "{}", app.host_log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_a_stream_that_is_not_there_yet() {
    let app = App::new(&manifest("publish")).await;
    let host = app.host().await;
    let last = app.publish(&inputs(0, 20)).await;
    app.handled("count", last).await;
    let waiting = wait_for_listed(&app, "waiting", 20).await;
    assert_eq!(
        (&waiting[0]["subject"], &waiting[0]["audience"]),
        (&json!("counter.counted"), &json!("stream"))
    );
    let said = async {
        while !app.host_log().contains("no stream keeps `counter.counted` now") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("the host says what is missing");
    let rows: Value = serde_json::from_str(&app.run(&["ls", "--output", "json"]).await).unwrap();
    assert_eq!((&rows[0]["handler"], &rows[0]["outbox"]), (&json!("count"), &json!(20)));
    let few = app.command(&["outbox", "ls", "--limit", "3"]).output().await.unwrap();
    assert_eq!(String::from_utf8(few.stderr).unwrap(), "only 3 entries were read: there may be more\n");
    assert!(host.stop().await);

    // Whoever takes the handler out of the manifest now would lose them.
    let path = app.path().join("waxwing.toml");
    std::fs::write(&path, manifest("publish").replace("handlers.count", "handlers.other")).unwrap();
    let found = app.command(&["doctor", "--output", "json"]).output().await.unwrap();
    let found: Vec<Value> = serde_json::from_slice(&found.stdout).unwrap();
    let unnamed = found.iter().find(|finding| finding["check"] == "unnamed").unwrap();
    assert_eq!(unnamed["level"], "warning");
    assert!(unnamed["wayOut"].as_str().unwrap().contains("until `waxwing outbox ls count` shows nothing"));
    std::fs::write(&path, manifest("publish")).unwrap();
    let host = app.host().await;
    make(&app, "COUNTS", &["counter.>"], stream::Config::default()).await;
    check(&messages(&app, "COUNTS", 20).await);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stream_refuses_is_set_aside_and_goes_out_when_somebody_has_helped() {
    let app = App::new(&manifest("publish")).await;
    let small = stream::Config { max_message_size: 450, ..stream::Config::default() };
    make(&app, "COUNTS", &["counter.>"], small).await;
    let host = app.host().await;
    let key = |n: u64| if n % 5 == 2 { "k".repeat(190) } else { "k".to_owned() };
    let input = |n: u64| Input::new("in.item", format!("in-{n}"), &json!({ "key": key(n), "n": n }));
    let last = app.publish(&(0..15).map(input).collect::<Vec<_>>()).await;
    app.handled("count", last).await;
    let refused = wait_for_listed(&app, "refused", 3).await;
    assert!(refused[0]["reason"].as_str().unwrap().contains("message size exceeds"), "{refused:?}");
    assert_eq!(refused[0]["attempts"], 5);
    check(&messages(&app, "COUNTS", 12).await);
    let table = app.run(&["outbox", "ls", "count"]).await;
    assert!(table.contains("refused") && table.contains("counter.counted"), "{table}");

    let context = jetstream::new(app.client().await);
    let mut config = context.get_stream("COUNTS").await.unwrap().cached_info().config.clone();
    config.max_message_size = -1;
    context.update_stream(&config).await.unwrap();
    let first = refused[0]["id"].as_str().unwrap();
    assert_eq!(app.run(&["outbox", "redrive", "count", first]).await, "1 sent again\n");
    assert_eq!(messages(&app, "COUNTS", 13).await.last().and_then(|m| header(m, "Nats-Msg-Id")), Some(first));
    assert_eq!(app.run(&["outbox", "redrive", "count", "--all"]).await, "2 sent again\n");
    check(&messages(&app, "COUNTS", 15).await);
    wait_for_listed(&app, "refused", 0).await;
    let unknown = app.command(&["outbox", "redrive", "count", first]).output().await.unwrap();
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains(&format!("has no refused event `{first}`")), "{said}");
    assert!(host.stop().await);
}
