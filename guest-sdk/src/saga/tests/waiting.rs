//! Events that come before the start of their saga.

use super::{Purchase, purchase, state, told};
use crate::prelude::*;
use crate::saga;
use crate::saga::waiting::{MOST_BYTES, MOST_EVENTS};
use crate::testing::{Sandbox, Scenario};

fn waiting(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.get("waiting/o-1").unwrap_or_default()
}

#[test]
fn handles_what_has_waited_when_the_start_comes() {
    let scenario = Scenario::of(purchase)
        .given([told("payments.authorized"), told("stock.reserved")])
        .when(told("orders.placed"))
        .then_emits([("orders.confirmed", json!("seat 7"))])
        .then_timers([])
        .then_no_state("waiting/o-1");
    assert_eq!(state(scenario)["status"], "completed");
}

#[test]
fn takes_the_events_of_a_step_in_the_order_in_which_they_came() {
    let refused = || told("stock.refused").json(&"sold out");
    Scenario::of(purchase)
        .given([told("stock.reserved"), refused()])
        .when(told("orders.placed"))
        .then_emits([("payments.charge", json!("seat 7"))]);
    Scenario::of(purchase)
        .given([refused(), told("stock.reserved")])
        .when(told("orders.placed"))
        .then_emits([("stock.release", json!("seat 7")), ("orders.cancelled", json!("sold out"))]);
}

#[test]
fn keeps_an_event_once_and_as_it_came() {
    let exact = r#"{"sum":0.10000000000000000001}"#;
    let sandbox = Scenario::of(purchase)
        .given([told("payments.authorized").bytes(exact)])
        .when(told("payments.authorized").position(9))
        .then_emits_nothing()
        .sandbox();
    assert_eq!(waiting(&sandbox).len(), 1);
    assert_eq!(sandbox.timers().len(), 1);
    let kept: Vec<super::super::reply::Input> = sandbox.get("waiting/o-1").unwrap();
    assert!(serde_json::to_string(&kept).unwrap().contains(exact));
}

#[test]
fn ends_as_a_dead_letter_that_carries_the_event() {
    let mut sandbox = Sandbox::new();
    sandbox.run(purchase, told("payments.authorized"));
    let runs = sandbox.pass(Duration::from_secs(60), purchase);
    assert_eq!(runs.len(), 2, "the first takes it from those that wait, the second rejects it");
    let failure = runs[1].failure().unwrap();
    assert!(!failure.is_retry());
    assert_eq!(
        failure.reason(),
        "event `payments.authorized-1` of type `payments.authorized`: \
         no start of saga for key `o-1` came within 60s"
    );
    assert!(sandbox.timers().is_empty());
    assert!(sandbox.keys().is_empty());
}

#[test]
fn carries_the_event_in_its_timer() {
    let mut sandbox = Sandbox::new();
    sandbox.run(purchase, told("payments.authorized"));
    let id = sandbox.timers().keys().next().unwrap().clone();
    let fired = told("waxwing.timer").about(&id).subject("wx.shop.timer.saga.1");
    assert!(sandbox.run(purchase, fired).is_done());
    let (_, timer) = sandbox.timers().iter().find(|(id, _)| id.starts_with("unmatched/")).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&timer.data).unwrap(),
        json!({
            "id": "payments.authorized-1",
            "source": "/test",
            "type": "payments.authorized",
            "subject": "payments.authorized",
            "time": "2026-05-01T12:00:00Z",
            "data": "seat 7",
        })
    );

    // Redriven after the start, the event is handled.
    let redriven = told("waxwing.timer").about("unmatched/x/o-1").subject("wx.shop.timer.saga.1");
    let redriven = redriven.bytes(timer.data.clone());
    Scenario::of(purchase)
        .given([told("orders.placed"), told("stock.reserved")])
        .when(redriven)
        .then_emits([("orders.confirmed", json!("seat 7"))]);
}

#[test]
fn waits_for_each_event_by_itself() {
    let mut sandbox = Sandbox::new();
    sandbox.run(purchase, told("payments.authorized"));
    sandbox.pass(Duration::from_secs(40), purchase);
    sandbox.run(purchase, told("stock.reserved"));
    sandbox.pass(Duration::from_secs(40), purchase);
    assert_eq!(waiting(&sandbox)[0]["type"], "stock.reserved");
    let run = sandbox.run(purchase, told("orders.placed"));
    assert_eq!(run.emitted()[0].subject, "payments.charge");
    assert_eq!(sandbox.timers().keys().collect::<Vec<_>>(), ["timeout/payment/o-1"]);
}

#[test]
fn refuses_events_that_are_too_large_to_wait() {
    let of_size = |bytes: usize| told("payments.authorized").json(&"x".repeat(bytes));
    let mut sandbox = Sandbox::new();
    sandbox.run(purchase, of_size(0));
    let around = serde_json::to_vec(&waiting(&sandbox)[0]).unwrap().len();
    let mut sandbox = Sandbox::new();
    assert!(sandbox.run(purchase, of_size(MOST_BYTES - around)).is_done());
    Scenario::of(purchase)
        .when(of_size(MOST_BYTES - around + 1))
        .then_fails("has 65537 bytes: at most 65536 can wait");
}

#[test]
fn bounds_how_many_events_wait() {
    let mut sandbox = Sandbox::new();
    let event = |n: usize| told("payments.authorized").id(&n.to_string());
    for n in 0..MOST_EVENTS {
        assert!(sandbox.run(purchase, event(n)).is_done());
    }
    assert_eq!(sandbox.timers().len(), MOST_EVENTS);
    let failure = sandbox.run(purchase, event(MOST_EVENTS)).failure().unwrap().clone();
    assert_eq!(failure.reason(), "100 events of key `o-1` wait for their saga");
}

#[test]
fn rejects_an_event_at_once_that_it_could_not_read_later() {
    let run = Sandbox::new().run(saga::<Purchase>, told("stock.reserved").json(&1));
    assert!(run.failure().unwrap().reason().contains("expected a string"));
}
