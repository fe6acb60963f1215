//! Each event's effects are there exactly once, each key in order, and told apart by cause and correlation:
//! the shop's basket, on a real server and on the memory log.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use crate::app::{self, App, Input, Outcome};

const BASKET: &str = r#"
[app]
name = "shop"
events = ["prices.>", "baskets.>"]

[handlers.basket]
module = "basket.wasm"
on = ["prices.updated"]
key = "data.productId"

[handlers.basket.grants]
emit = ["baskets.repriced"]
"#;

const EVENTS: u64 = 10_000;
const KEYS: u64 = 100;

fn prices() -> Vec<Input> {
    let price = |n: u64| {
        let data = json!({ "productId": format!("p{}", n % KEYS), "oldPrice": null, "newPrice": n });
        Input::new("prices.updated", format!("price-{n}"), &data)
    };
    (0..EVENTS).map(price).collect()
}

/// Every output once, each key's in order, cause and correlation stamped, states at their end.
fn check(outcome: &Outcome) {
    assert_eq!(outcome.dead, []);
    assert_eq!(outcome.emitted.len() as u64, EVENTS);
    let mut revisions: BTreeMap<String, u64> = BTreeMap::new();
    for event in &outcome.emitted {
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        let product = data["productId"].as_str().unwrap().to_owned();
        let revision = revisions.entry(product.clone()).or_default();
        let n = *revision * KEYS + product[1..].parse::<u64>().unwrap();
        *revision += 1;
        assert_eq!(data["revision"].as_u64(), Some(*revision), "the outputs of a key come in order");
        assert_eq!(event.causation_id.as_deref(), Some(format!("price-{n}").as_str()));
        assert_eq!(event.correlation_id, format!("price-{n}"));
        assert_eq!(event.source, "/shop/basket");
    }
    assert_eq!(revisions.len() as u64, KEYS);
    assert!(revisions.values().all(|revision| *revision == EVENTS / KEYS));
    assert_eq!(outcome.state.len() as u64, KEYS);
    for value in outcome.state.values() {
        let state: Value = serde_json::from_slice(value).unwrap();
        assert_eq!(state["revision"].as_u64(), Some(EVENTS / KEYS));
    }
    let ids: HashSet<&str> = outcome.emitted.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len() as u64, EVENTS, "ids are unique");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_over_a_hundred_keys_on_a_real_server() {
    let app = App::new(BASKET).await;
    let host = app.host().await;
    let last = app.publish(&prices()).await;
    app.handled("basket", last).await;
    assert!(host.stop().await);
    check(&app.result().await);
    assert!(app.run(&["state", "get", "basket", "p7", "--output", "json"]).await.contains("revision"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_over_a_hundred_keys_in_memory_and_the_same_ids_again() {
    let inputs = prices();
    let first = app::undisturbed(BASKET, &["basket"], &inputs).await;
    check(&first);
    let second = app::undisturbed(BASKET, &["basket"], &inputs).await;
    let ids = |outcome: &Outcome| {
        let mut ids: Vec<_> =
            outcome.emitted.iter().map(|e| (e.causation_id.clone(), e.id.clone())).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&first), ids(&second));
}
