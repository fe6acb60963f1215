//! Events in any order end the same.

use std::collections::BTreeSet;

use super::{purchase, told};
use crate::prelude::*;
use crate::testing::{Sandbox, Scenario, TestEvent};
use crate::{Plan, Saga, saga};

#[derive(Default, Serialize, Deserialize)]
struct Checkout {
    order: Value,
    heard: Vec<Value>,
}

impl Saga for Checkout {
    fn plan() -> Plan<Self> {
        let hear = |checkout: &mut Self, data: Value| checkout.heard.push(data);
        Plan::new()
            .start("orders.placed", |checkout: &mut Self, order: Value| checkout.order = order)
            .step("customer", |step| step.done_with("customers.registered", hear))
            .step("payment", |step| step.done_with("payments.authorized", hear))
            .complete(|checkout, cx| cx.emit("orders.confirmed", checkout))
    }
}

fn orders() -> [[&'static str; 3]; 6] {
    let (c, o, p) = ("customers.registered", "orders.placed", "payments.authorized");
    [[c, o, p], [c, p, o], [o, c, p], [o, p, c], [p, c, o], [p, o, c]]
}

fn event(event_type: &str) -> TestEvent {
    told(event_type).json(&event_type)
}

#[test]
fn all_orders_of_events_end_in_the_same_state() {
    let mut ends = BTreeSet::new();
    for order in orders() {
        let mut sandbox = Sandbox::new();
        let runs = order.map(|event_type| sandbox.run(saga::<Checkout>, event(event_type)));
        let emitted: Vec<_> = runs.iter().flat_map(|run| run.emitted()).map(|e| e.json::<Value>()).collect();
        let heard =
            json!({ "order": "orders.placed", "heard": ["customers.registered", "payments.authorized"] });
        assert_eq!(emitted, [heard], "{order:?}");
        assert!(sandbox.timers().is_empty(), "{order:?}");
        assert_eq!(sandbox.keys(), ["saga/o-1", "trail/o-1"], "{order:?}");
        ends.insert(sandbox.get::<Value>("saga/o-1").unwrap().to_string());
    }
    assert_eq!(ends.len(), 1, "{ends:?}");
}

#[test]
fn keeps_a_reply_until_its_step_begins() {
    Scenario::of(purchase)
        .given([told("orders.placed")])
        .when(told("payments.authorized"))
        .then_emits_nothing()
        .then_timers([])
        .when(told("payments.authorized"))
        .then_emits_nothing()
        .when(told("stock.reserved"))
        // No `payments.charge`: what it would ask for is there.
        .then_emits([("orders.confirmed", json!("seat 7"))])
        .then_timers([])
        .then_no_state("waiting/o-1");
}
