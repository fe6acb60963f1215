//! `waxwing trace`: the story of one first event, read from the log.

use std::sync::Arc;

use serde_json::{Value, json};
use waxwing::story::index::{SPAN, build::Builder, find};
use waxwing_engine::{
    entry::Layout,
    port::{
        Log,
        clock::SystemClock,
        log::{NewEntry, Part, commit},
    },
};
use waxwing_event::Position;
use waxwing_log::{MemoryLog, memory};

use crate::{
    app::{App, Input},
    failing::until,
};

const SHOP: &str = r#"
[app]
name = "shop"
events = ["orders.>", "stock.>", "payments.>", "work.>", "done.>", "alarms.>"]

[handlers.order-saga]
module = "order-saga.wasm"
on = ["orders.placed", "stock.reserved", "stock.refused", "payments.authorized", "payments.declined"]
key = "data.orderId"

[handlers.order-saga.grants]
emit = ["stock.*", "payments.charge", "payments.refund", "orders.confirmed", "orders.cancelled"]

[handlers.inventory]
module = "inventory.wasm"
on = ["stock.set", "stock.reserve", "stock.release"]
key = "data.productId"

[handlers.inventory.grants]
emit = ["stock.reserved", "stock.refused", "stock.released"]

[handlers.payment]
module = "payment.wasm"
on = ["payments.charge", "payments.refund"]
key = "data.orderId"

[handlers.payment.grants]
emit = ["payments.authorized", "payments.declined", "payments.refunded"]
settings = { limit = "100" }

[handlers.looks]
module = "counter.wasm"
on = ["work.seen"]

[handlers.looks.grants]
settings = { mode = "none-on-even" }

[handlers.alarm]
module = "alarm.wasm"
on = ["work.wishes"]

[handlers.alarm.grants]
emit = ["alarms.fired"]

[handlers.dies]
module = "poison.wasm"
on = ["work.dies"]
on-exhausted = "dead-letter-event"

[handlers.dies.grants]
emit = ["done.*"]
settings = { poison = "reject", out = "done.dies" }

[handlers.waits]
module = "poison.wasm"
on = ["work.waits"]
key = "data.key"
retry = { attempts = 5, backoff = "1h..1h" }

[handlers.waits.grants]
emit = ["done.*"]
settings = { poison = "error", out = "done.waits" }
"#;

async fn told(app: &App, id: &str) -> Value {
    serde_json::from_str(&app.run(&["trace", id, "--output", "json"]).await).unwrap()
}

/// The run of a handler below an event.
fn run<'v>(event: &'v Value, handler: &str) -> &'v Value {
    let runs = event["runs"].as_array().unwrap();
    runs.iter().find(|run| run["handler"] == handler).unwrap_or_else(|| panic!("{handler}: {event:#}"))
}

/// The only event that a handler's run has emitted.
fn emitted<'v>(event: &'v Value, handler: &str, subject: &str) -> &'v Value {
    let events = run(event, handler)["emitted"].as_array().unwrap();
    let found: Vec<_> = events.iter().filter(|event| event["event"]["subject"] == subject).collect();
    assert_eq!(found.len(), 1, "{subject} of {handler}: {event:#}");
    found[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_payment_is_told_with_all_that_it_has_caused() {
    let app = App::new(SHOP).await;
    let host = app.host().await;
    let stock = json!({ "productId": "p1", "quantity": 10 });
    app.publish(&[Input::new("stock.set", "stock", &stock)]).await;
    let order = json!({ "orderId": "o1", "productId": "p1", "quantity": 2, "amount": 200 });
    let first = app.publish(&[Input::new("orders.placed", "placed", &order)]).await;
    let subjects = async || -> Vec<String> {
        app.result().await.emitted.iter().map(|event| event.subject.to_string()).collect()
    };
    let is_there = async |subject: &str| subjects().await.iter().any(|there| there == subject);
    until(&app, async || is_there("stock.released").await && is_there("orders.cancelled").await).await;
    assert!(host.stop().await);

    let story = told(&app, "placed").await;
    assert_eq!(story["correlationId"], "placed");
    assert_eq!(story["events"].as_array().unwrap().len(), 1, "{story:#}");
    let root = &story["events"][0];
    assert_eq!(
        (&root["event"]["subject"], &root["event"]["position"]),
        (&json!("orders.placed"), &json!(first))
    );
    let reserve = emitted(root, "order-saga", "stock.reserve");
    let reserved = emitted(reserve, "inventory", "stock.reserved");
    assert_eq!(run(reserve, "inventory")["outcome"], "done");
    let charge = emitted(reserved, "order-saga", "payments.charge");
    let declined = emitted(charge, "payment", "payments.declined");
    let cancelled = emitted(declined, "order-saga", "orders.cancelled");
    let release = emitted(declined, "order-saga", "stock.release");
    // What has written the state of the order last says so.
    let keys = run(declined, "order-saga")["state"].as_array().unwrap();
    assert!(keys.contains(&json!("saga/o1")), "{keys:?}");
    assert_eq!(emitted(release, "inventory", "stock.released")["runs"], json!([]));
    assert_eq!(cancelled["runs"], json!([]));

    // By any of its events it is the same story.
    let charged = charge["id"].as_str().unwrap();
    assert_eq!(told(&app, charged).await, story);
    assert_eq!(told(&app, &format!("#{}", charge["event"]["position"])).await, story);

    let text = app.run(&["trace", "placed"]).await;
    let words: Vec<&str> =
        text.lines().map(|line| line.split(['#', '+']).next().unwrap().trim_end()).collect();
    assert_eq!(words[0], "orders.placed");
    for line in ["└─ order-saga done", "   └─ stock.reserve", "      └─ inventory done"] {
        assert!(words.contains(&line), "{line}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_and_what_waits_is_told_with_its_reason() {
    let app = App::new(SHOP).await;
    let host = app.host().await;
    let bad = json!({ "key": "k", "n": 1, "poison": true });
    let last = app
        .publish(&[
            Input::new("work.dies", "a letter", &bad),
            Input::new("work.waits", "first", &bad),
            Input::new("work.waits", "behind", &json!({ "key": "k", "n": 2 })),
            Input::new("work.seen", "seen", &json!({ "key": "k", "n": 2 })),
        ])
        .await;
    app.handled("looks", last).await;
    let ended =
        async |id: &str, handler: &str| run(&told(&app, id).await["events"][0], handler)["outcome"].clone();
    until(&app, async || {
        ended("a letter", "dies").await == "dead" && ended("behind", "waits").await == "parked"
    })
    .await;

    let story = told(&app, "a letter").await;
    let dead = run(&story["events"][0], "dies");
    assert_eq!(
        (&dead["outcome"], &dead["kind"], &dead["attempts"]),
        (&json!("dead"), &json!("reject"), &json!(1))
    );
    assert!(dead["reason"].as_str().unwrap().contains("poison"), "{dead}");
    let waits = run(&told(&app, "first").await["events"][0], "waits").clone();
    // One attempt follows the first at once.
    assert_eq!((&waits["outcome"], &waits["attempts"]), (&json!("parked"), &json!(2)));
    let behind = run(&told(&app, "behind").await["events"][0], "waits").clone();
    assert_eq!((&behind["outcome"], &behind["attempts"]), (&json!("parked"), &json!(0)));
    let text = app.run(&["trace", "a letter"]).await;
    assert!(text.contains("dies dead letter after 1 attempt: reject: "), "{text}");
    let text = app.run(&["trace", "first"]).await;
    assert!(text.contains("waits waits until "), "{text}");

    // Nothing is there of what had no effect: it is concluded from how far the handler is.
    let saved = async || run(&told(&app, "seen").await["events"][0], "looks")["outcome"] == "handled";
    until(&app, saved).await;
    // Nobody heard this one.
    app.publish(&[Input::new("orders.other", "unheard", &json!({}))]).await;
    assert_eq!(told(&app, "unheard").await["events"][0]["runs"], json!([]));
    let missing = app.command(&["trace", "nothing of the kind"]).output().await.unwrap();
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(!missing.status.success() && said.contains("has no event `nothing of the kind`"), "{said}");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_is_told_before_it_has_fired_and_after() {
    let app = App::new(SHOP).await;
    let host = app.host().await;
    let last = app
        .publish(&[
            Input::new("work.wishes", "late", &json!({ "id": "late", "after_ms": 3_600_000 })),
            Input::new("work.wishes", "soon", &json!({ "id": "soon", "after_ms": 1 })),
        ])
        .await;
    app.handled("alarm", last).await;
    until(&app, async || app.result().await.emitted.len() == 1).await;
    let late = told(&app, "late").await;
    let waits = &run(&late["events"][0], "alarm")["emitted"][0]["event"];
    assert_eq!((&waits["place"], &waits["timerId"]), (&json!("timer"), &json!("late")), "{late:#}");
    let soon = told(&app, "soon").await;
    assert_eq!(soon["events"].as_array().unwrap().len(), 1, "{soon:#}");
    // The timer's own event is gone, and its id is known all the same.
    let timer = &run(&soon["events"][0], "alarm")["emitted"][0];
    assert_eq!((timer["event"].is_null(), timer["id"].is_string()), (true, true), "{soon:#}");
    emitted(timer, "alarm", "alarms.fired");
    let text = app.run(&["trace", "late"]).await;
    assert!(text.contains("timer late") && text.contains("fires at"), "{text}");
    assert!(host.stop().await);
}

/// The app of the index's tests: many stories, each of an event, what it emitted, and a count.
const MANY: &str = r#"
[app]
name = "many"
events = ["in.>", "counter.>"]

[handlers.count]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"
concurrency = 256

[handlers.count.grants]
emit = ["counter.counted"]
"#;

/// An operator's answer with and without the index.
async fn both(app: &App, id: &str) -> [Value; 2] {
    let whole = app.run(&["trace", id, "--no-index", "--output", "json"]).await;
    [told(app, id).await, serde_json::from_str(&whole).unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_tells_what_the_whole_log_tells_also_when_it_was_lost() {
    let app = App::new(MANY).await;
    let host = app.host().await;
    // Some bring nothing but their data: their ids are their positions.
    let count = 2 * SPAN / 3 + 500;
    let inputs: Vec<Input> = (0..count)
        .map(|n| Input::new("in.a", format!("e{n}"), &json!({ "key": format!("k{}", n % 500), "n": n })))
        .collect();
    let client = async_nats::jetstream::new(app.client().await);
    let mut plain = Vec::new();
    for n in 0..300 {
        let data = json!({ "key": format!("p{n}"), "n": n }).to_string();
        plain.push(client.publish("in.plain", data.into()).await.unwrap().await.unwrap().sequence);
    }
    let last = app.publish(&inputs).await;
    app.handled("count", last).await;
    let log = app.log().await;
    let indexed = async || find::extent(&log, &app.layout).await.unwrap().map_or(0, |extent| extent.spans);
    until(&app, async || indexed().await >= 1).await;
    let ids = || {
        (0..count)
            .step_by(701)
            .map(|n| format!("e{n}"))
            .chain(plain.iter().step_by(99).map(|position| format!("log-{position}")))
    };
    let found = async || -> Vec<Value> {
        let mut stories = Vec::new();
        for id in ids() {
            let [by_index, whole] = both(&app, &id).await;
            assert_eq!(by_index, whole, "{id}");
            let run = run(&by_index["events"][0], "count");
            assert_eq!(run["emitted"].as_array().unwrap().len(), 1, "{id}: {by_index:#}");
            stories.push(by_index);
        }
        stories
    };
    let before = found().await;
    assert!(host.stop().await);

    // A segment is gone: that part of the log is read instead.
    let bounds = log.bounds().await.unwrap();
    log.remove(&app.layout.index_level(0), bounds.last).await.unwrap();
    assert_eq!(found().await, before);
    // All of it is gone, and another makes it anew.
    log.remove(&"wx.many.index.>".parse().unwrap(), bounds.last).await.unwrap();
    assert_eq!(indexed().await, 0);
    let builder = Builder::new(Arc::new(app.log().await), app.layout.clone(), "test");
    builder.catch_up().await.unwrap();
    assert!(indexed().await >= 1);
    assert_eq!(found().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_is_indexed_in_levels() {
    let layout = Layout::new("long".parse().unwrap());
    let options = memory::Options {
        subjects: vec!["in.>".parse().unwrap(), layout.everything()],
        ..memory::Options::default()
    };
    let log = Arc::new(MemoryLog::with_options(Arc::new(SystemClock), options));
    // Seventeen segments: sixteen of them become one, divided by hash.
    let spans = 17;
    let event = |n: u64| {
        let mut entry = NewEntry::new("in.a".parse().unwrap(), "{}");
        for (name, value) in
            [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "/s"), ("ce-id", &format!("e{n}"))]
        {
            entry.headers.push(name, value);
        }
        // A story has three events, far from each other.
        entry.headers.push("ce-correlationid", format!("s{}", n % 100_000));
        entry
    };
    for chunk in (0..spans * SPAN).collect::<Vec<_>>().chunks(1000) {
        commit(log.as_ref(), chunk.iter().map(|n| event(*n)).collect()).await.unwrap();
    }
    Builder::new(log.clone(), layout.clone(), "a").catch_up().await.unwrap();
    // One who comes later does not go on with what another has done a moment ago.
    Builder::new(log.clone(), layout.clone(), "b").catch_up().await.unwrap();
    let extent = find::extent(log.as_ref(), &layout).await.unwrap().unwrap();
    assert_eq!((extent.spans, extent.host.as_str()), (spans, "a"));
    let levels: Vec<u32> = extent.segments().iter().map(|place| place.level).collect();
    assert_eq!(levels, [1, 0]);
    let of_level = async |level| {
        log.last_of_each(&layout.index_level(level), Part::Headers, 10_000).await.unwrap().len()
    };
    assert_eq!((of_level(0).await, of_level(1).await), (1, 16));

    let bounds = log.bounds().await.unwrap();
    for n in [0, 1, 77_777, 99_999] {
        let found =
            find::find(log.as_ref(), &layout, &format!("s{n}"), (bounds.first, bounds.last)).await.unwrap();
        let expected: Vec<Position> =
            (0..spans * SPAN).filter(|each| each % 100_000 == n).map(|each| Position(each + 1)).collect();
        assert!(expected.iter().all(|position| found.positions.contains(position)), "{n}: {found:?}");
        assert!(found.positions.len() <= expected.len() + 2, "{n}: {found:?}");
        assert_eq!(found.rest, [(Position(spans * SPAN + 1), bounds.last)]);
    }
}
