//! Time-outs, and replies that come after the end.

use super::{Purchase, purchase, state, three, told, what};
use crate::prelude::*;
use crate::saga;
use crate::testing::{Sandbox, Scenario};

fn charged() -> Scenario<Raw> {
    Scenario::of(purchase).given([told("orders.placed"), told("stock.reserved")])
}

fn timed_out() -> Scenario<Raw> {
    charged().when_time_passes(Duration::from_secs(30))
}

#[test]
fn cancels_when_a_step_takes_too_long() {
    let scenario = timed_out()
        .then_emits([
            ("stock.release", json!("seat 7")),
            ("orders.cancelled", json!("step `payment` had no reply within 30s")),
        ])
        .then_timers([]);
    assert_eq!(state(scenario)["steps"], json!({ "stock": "undone", "payment": "timed-out" }));
}

#[test]
fn undoes_a_step_that_timed_out_once_when_its_late_reply_comes() {
    let scenario = timed_out()
        .when(told("payments.authorized"))
        .then_emits([("payments.refund", json!("seat 7"))])
        .when(told("payments.authorized").position(9))
        .then_emits_nothing()
        .when(told("payments.authorized").id("another"))
        .then_emits_nothing()
        .then_timers([]);
    let sandbox = scenario.sandbox();
    let state: Value = sandbox.get("saga/o-1").unwrap();
    assert_eq!(state["steps"], json!({ "stock": "undone", "payment": "undone" }));
    assert_eq!(state["status"], "cancelled");
    assert_eq!(
        what(&sandbox)[4..],
        [
            "payment timed out",
            "cancelled: step `payment` had no reply within 30s",
            "stock undone",
            "payment done too late",
            "payment undone",
        ]
    );
}

#[test]
fn leaves_alone_what_has_failed_too_late() {
    timed_out().when(told("payments.declined")).then_emits_nothing();
}

#[test]
fn undoes_a_step_that_had_not_begun_when_its_reply_comes_after_the_end() {
    let refused = || told("stock.refused").json(&"sold out");
    Scenario::of(purchase)
        .given([told("orders.placed"), refused()])
        .when(told("payments.authorized"))
        .then_emits([("payments.refund", json!("seat 7"))])
        .when(told("stock.reserved"))
        .then_emits([("stock.release", json!("seat 7"))])
        .when(told("stock.reserved"))
        .then_emits_nothing();
}

#[test]
fn undoes_a_reply_that_was_kept_when_the_saga_is_cancelled() {
    let refused = || told("stock.refused").json(&"sold out");
    let early = Scenario::of(purchase)
        .given([told("orders.placed"), told("payments.authorized")])
        .when(refused())
        .then_emits([("payments.refund", json!("seat 7")), ("orders.cancelled", json!("sold out"))])
        .then_no_state("waiting/o-1");
    let late = Scenario::of(purchase).given([told("orders.placed"), refused(), told("payments.authorized")]);
    assert_eq!(state(early), state(late));
}

#[test]
fn ignores_late_replies_of_steps_that_are_done() {
    charged()
        .given([told("payments.authorized")])
        .when(told("payments.authorized").id("another"))
        .then_emits_nothing()
        .when(told("stock.refused"))
        .then_emits_nothing()
        .when(told("payments.declined"))
        .then_emits_nothing();
}

#[test]
fn undoes_at_once_where_the_step_says_so() {
    Scenario::of(three)
        .given([told("a.started"), told("a.done"), told("b.done")])
        .when_time_passes(Duration::from_secs(5))
        .then_emits([
            ("c.undo", json!(null)),
            ("b.undo", json!(null)),
            ("a.undo", json!(null)),
            ("ended", json!("step `c` had no reply within 5s")),
        ])
        .when(told("c.done"))
        .then_emits_nothing();
}

#[test]
fn ignores_a_timer_whose_step_is_done() {
    let mut sandbox = Sandbox::new();
    for event_type in ["orders.placed", "stock.reserved", "payments.authorized"] {
        sandbox.run(saga::<Purchase>, told(event_type));
    }
    let fired = told("waxwing.timer").about("timeout/payment/o-1").subject("wx.shop.timer.saga.1");
    let run = sandbox.run(saga::<Purchase>, fired);
    assert!(run.is_done() && run.emitted().is_empty());
}
