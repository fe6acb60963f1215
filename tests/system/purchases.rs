//! Purchases from end to end: sagas of real modules on a real server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use waxwing_engine::{
    entry::tombstone,
    port::{
        Log,
        log::{Entry, Part},
    },
};

use crate::{
    app::{App, Input, Outcome, entries},
    failing::until,
};

const SHOP: &str = r#"
[app]
name = "shop"
events = ["orders.>", "stock.>", "payments.>", "purchases.>"]

[host]
lease = "1s"

[handlers.order-saga]
module = "order-saga.wasm"
on = ["orders.placed", "stock.reserved", "stock.refused", "payments.authorized", "payments.declined"]
key = "data.orderId"
on-exhausted = "dead-letter-event"

[handlers.order-saga.grants]
emit = [
    "stock.reserve", "stock.release", "payments.charge", "payments.refund", "orders.confirmed", "orders.cancelled",
]

[handlers.inventory]
module = "inventory.wasm"
on = ["stock.set", "stock.reserve", "stock.release", "purchases.placed", "purchases.declined"]
key = "data.productId"

[handlers.inventory.grants]
emit = ["stock.reserved", "stock.refused", "stock.released", "purchases.reserved", "purchases.cancelled"]
"#;

const PAYMENT: &str = r#"
[handlers.payment]
module = "payment.wasm"
on = ["payments.charge", "payments.refund", "purchases.reserved"]
key = "data.orderId"
on-exhausted = "dead-letter-event"

[handlers.payment.grants]
emit = ["payments.authorized", "payments.declined", "payments.refunded", "purchases.paid", "purchases.declined"]
settings = { limit = "100" }
"#;

const JOIN: &str = r#"
[app]
name = "join"
events = ["join.>", "joined.>"]

[handlers.joiner]
module = "joiner.wasm"
on = ["join.>"]
key = "data.key"
on-exhausted = "dead-letter-event"

[handlers.joiner.grants]
emit = ["joined.complete"]
"#;

fn order(subject: &str, id: &str, amount: u32) -> Input {
    let data = json!({ "orderId": "o1", "productId": "p1", "quantity": 2, "amount": amount });
    Input::new(subject, id, &data)
}

fn stock(quantity: u32) -> Input {
    Input::new("stock.set", "stock", &json!({ "productId": "p1", "quantity": quantity }))
}

fn count(outcome: &Outcome, subject: &str) -> usize {
    outcome.emitted.iter().filter(|event| event.subject.as_str() == subject).count()
}

fn state(outcome: &Outcome, handler: &str, key: &str) -> Value {
    serde_json::from_slice(&outcome.state[&(handler.to_owned(), key.to_owned())]).unwrap()
}

async fn timers_left(app: &App) -> usize {
    let log = app.log().await;
    let timers = app.layout.timers(None);
    let timers = log.last_of_each(&timers, Part::Headers, 1000);
    timers.await.unwrap().iter().filter(|entry| !tombstone::is(entry)).count()
}

async fn emitted(app: &App, subject: &str, least: usize) {
    until(app, async || count(&app.result().await, subject) >= least).await;
}

/// One correlation id, and each event caused by one that is there: a tree without a break.
fn assert_one_story(log: &[Entry], outcome: &Outcome, root: &str) {
    let ids: BTreeSet<&str> = log.iter().filter_map(|entry| entry.headers.get("ce-id")).collect();
    for event in &outcome.emitted {
        assert_eq!(event.correlation_id, root, "{event:?}");
        assert!(event.causation_id.as_deref().is_some_and(|cause| ids.contains(cause)), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_purchase_is_taken_back_once_however_often_each_event_comes() {
    let app = App::new(&format!("{SHOP}{PAYMENT}")).await;
    let host = app.host().await;
    app.publish(&[stock(10), order("orders.placed", "placed", 200)]).await;
    emitted(&app, "stock.reserve", 1).await;
    host.kill().await;
    app.publish(&vec![order("orders.placed", "placed", 200); 2]).await;
    let host = app.host().await;
    emitted(&app, "orders.cancelled", 1).await;
    emitted(&app, "stock.released", 1).await;
    let told = app.result().await;

    // Each event comes twice more, as it was.
    let again: Vec<Input> = entries(&app.log().await)
        .await
        .into_iter()
        .filter(|entry| !entry.subject.as_str().starts_with("wx.") && entry.subject.as_str() != "stock.set")
        .map(|entry| Input {
            subject: entry.subject.to_string(),
            id: entry.headers.get("ce-id").unwrap().to_owned(),
            data: entry.payload,
        })
        .collect();
    let positions = [app.publish(&again).await, app.publish(&again).await];
    let last = app.publish(&[order("payments.declined", "d", 200), order("stock.release", "r", 200)]).await;
    app.handled("inventory", last).await;
    app.handled("order-saga", positions[1]).await;

    let outcome = app.result().await;
    for subject in
        ["stock.reserve", "payments.charge", "payments.declined", "stock.release", "orders.cancelled"]
    {
        assert_eq!((subject, count(&outcome, subject)), (subject, 1));
    }
    assert_eq!(count(&outcome, "payments.refund") + count(&outcome, "orders.confirmed"), 0);
    let left = state(&outcome, "inventory", "product/p1");
    assert_eq!(left, json!({ "quantity": 10, "reserved": 0 }));
    assert_one_story(&entries(&app.log().await).await, &told, "placed");
    assert_eq!(timers_left(&app).await, 0);
    assert!(outcome.dead.is_empty(), "{:?}", outcome.dead);

    // An authorisation that comes after all is refunded once.
    let late = vec![order("payments.authorized", "late", 200); 3];
    let last = app.publish(&late).await;
    app.handled("order-saga", last).await;
    assert_eq!(count(&app.result().await, "payments.refund"), 1);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_never_answers_is_given_up_and_refunded_once_when_it_does() {
    let app = App::new(SHOP).await;
    let host = app.host().await;
    app.publish(&[stock(10), order("orders.placed", "placed", 20)]).await;
    emitted(&app, "payments.charge", 1).await;
    assert_eq!(timers_left(&app).await, 1);
    emitted(&app, "orders.cancelled", 1).await;
    emitted(&app, "stock.released", 1).await;
    let last = app.publish(&vec![order("payments.authorized", "late", 20); 3]).await;
    app.handled("order-saga", last).await;
    let outcome = app.result().await;
    for subject in ["stock.release", "orders.cancelled", "payments.refund"] {
        assert_eq!((subject, count(&outcome, subject)), (subject, 1));
    }
    let left = state(&outcome, "inventory", "product/p1");
    assert_eq!(left, json!({ "quantity": 10, "reserved": 0 }));
    assert_eq!(timers_left(&app).await, 0);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_purchase_needs_no_orchestrator() {
    let app = App::new(&format!("{SHOP}{PAYMENT}")).await;
    let host = app.host().await;
    app.publish(&[stock(10), order("purchases.placed", "p", 200)]).await;
    emitted(&app, "purchases.cancelled", 1).await;
    let outcome = app.result().await;
    let subjects: Vec<&str> = outcome.emitted.iter().map(|event| event.subject.as_str()).collect();
    assert_eq!(subjects, ["purchases.reserved", "purchases.declined", "purchases.cancelled"]);
    let left = state(&outcome, "inventory", "product/p1");
    assert_eq!(left, json!({ "quantity": 10, "reserved": 0 }));
    assert_one_story(&entries(&app.log().await).await, &outcome, "p");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_orders_of_three_events_end_in_the_same_and_what_never_starts_is_dead_in_time() {
    let app = App::new(JOIN).await;
    let host = app.host().await;
    let said = |n: usize, key: &str| match n {
        0 => Input::new("join.registered", format!("{key}-r"), &json!({ "key": key, "what": "Ada" })),
        1 => Input::new("join.ordered", format!("{key}-o"), &json!({ "key": key, "what": "tea" })),
        _ => Input::new("join.paid", format!("{key}-p"), &json!({ "key": key, "cents": 350 })),
    };
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut inputs: Vec<Input> = Vec::new();
    for (i, order) in orders.iter().enumerate() {
        inputs.extend(order.iter().map(|n| said(*n, &format!("k{i}"))));
    }
    app.publish(&inputs).await;
    let lonely = app.publish(&[said(2, "lonely")]).await;
    app.handled("joiner", lonely).await;
    let outcome = app.result().await;
    assert_eq!(count(&outcome, "joined.complete"), 6);
    let states: BTreeSet<String> = (0..6)
        .map(|i| state(&outcome, "joiner", &format!("saga/k{i}")))
        .map(|mut saga| {
            // The start event's own time is each one's own.
            saga["started"] = Value::Null;
            saga.to_string()
        })
        .collect();
    assert_eq!(states.len(), 1, "{states:?}");
    assert!(
        states.first().unwrap().contains(r#""customer":"Ada","order":"tea","payment":350"#),
        "{states:?}"
    );
    let waits = state(&outcome, "joiner", "waiting/lonely");
    assert_eq!(waits[0]["type"], "join.paid");

    until(&app, async || !app.result().await.dead.is_empty()).await;
    let outcome = app.result().await;
    let [letter] = &outcome.dead[..] else { panic!("{:?}", outcome.dead) };
    assert!(letter.about.reason.contains("no start of saga for key `lonely`"), "{}", letter.about.reason);
    let kept: BTreeMap<String, Value> = serde_json::from_slice(&letter.payload).unwrap();
    assert_eq!((&kept["id"], &kept["type"]), (&json!("lonely-p"), &json!("join.paid")));
    assert_eq!(timers_left(&app).await, 0);
    assert!(host.stop().await);
}
