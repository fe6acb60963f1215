//! The rules of sagas, on the purchase of an order: stock, then payment.

mod late;
mod order;
mod waiting;

use crate::prelude::*;
use crate::testing::{Run, Sandbox, Scenario, TestEvent, event};
use crate::{Plan, Saga, saga};

#[derive(Default, Serialize, Deserialize)]
struct Purchase {
    order: Value,
    seat: Option<String>,
}

impl Saga for Purchase {
    fn plan() -> Plan<Self> {
        Plan::new()
            .start("orders.placed", |purchase: &mut Self, order: Value| purchase.order = order)
            .step("stock", |step| {
                step.run(|purchase, cx| cx.emit("stock.reserve", &purchase.order))
                    .done_with("stock.reserved", |purchase, seat: String| purchase.seat = Some(seat))
                    .failed_with("stock.refused", |why: String| why)
                    .undo(|purchase, cx| cx.emit("stock.release", &purchase.seat))
            })
            .step("payment", |step| {
                step.run(|purchase, cx| cx.emit("payments.charge", &purchase.order))
                    .done_on("payments.authorized")
                    .failed_on("payments.declined")
                    .timeout(Duration::from_secs(30))
                    .undo(|purchase, cx| cx.emit("payments.refund", &purchase.order))
            })
            .complete(|purchase, cx| cx.emit("orders.confirmed", &purchase.order))
            .cancel(|_, reason, cx| cx.emit("orders.cancelled", reason))
            .wait(Duration::from_secs(60))
    }
}

fn purchase(event: Event<Raw>, cx: &mut Context) -> Outcome {
    saga::<Purchase>(event, cx)
}

/// An event of order `o-1` with an id of its own.
fn told(event_type: &str) -> TestEvent {
    event(event_type).id(&format!("{event_type}-1")).key("o-1").time("2026-05-01T12:00:00Z").json(&"seat 7")
}

fn state(scenario: Scenario<Raw>) -> Value {
    scenario.sandbox().get("saga/o-1").unwrap()
}

fn what(sandbox: &Sandbox) -> Vec<String> {
    let trail: Vec<Value> = sandbox.get("trail/o-1").unwrap();
    trail.iter().map(|line| line["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn goes_from_step_to_step_to_its_end() {
    let scenario = Scenario::of(purchase)
        .when(told("orders.placed"))
        .then_emits([("stock.reserve", json!("seat 7"))])
        .then_timers([])
        .when(told("stock.reserved"))
        .then_emits([("payments.charge", json!("seat 7"))])
        .then_timers(["timeout/payment/o-1"])
        .when(told("payments.authorized"))
        .then_emits([("orders.confirmed", json!("seat 7"))])
        .then_timers([])
        .then_no_state("waiting/o-1");
    let sandbox = scenario.sandbox();
    assert_eq!(
        sandbox.get::<Value>("saga/o-1").unwrap(),
        json!({
            "status": "completed",
            "step": null,
            "started": "2026-05-01T12:00:00Z",
            "steps": { "stock": "done", "payment": "done" },
            "reason": null,
            "data": { "order": "seat 7", "seat": "seat 7" },
        })
    );
    let trail: Vec<Value> = sandbox.get("trail/o-1").unwrap();
    assert_eq!(
        trail[0],
        json!({
            "time": "2026-05-01T12:00:00Z",
            "event": { "id": "orders.placed-1", "type": "orders.placed" },
            "what": "started",
        })
    );
    let all = ["started", "stock begun", "stock done", "payment begun", "payment done", "completed"];
    assert_eq!(what(&sandbox), all);
}

#[test]
fn tells_which_step_it_is_at() {
    let state = state(Scenario::of(purchase).given([told("orders.placed"), told("stock.reserved")]));
    assert_eq!((&state["status"], &state["step"]), (&json!("running"), &json!("payment")));
    assert_eq!(state["steps"], json!({ "stock": "done", "payment": "begun" }));
}

#[test]
fn undoes_what_is_done_in_reverse_order_when_a_step_fails() {
    let scenario = Scenario::of(three)
        .given([told("a.started"), told("a.done"), told("b.done")])
        .when(told("c.failed"))
        .then_emits([
            ("b.undo", json!(null)),
            ("a.undo", json!(null)),
            ("ended", json!("step `c` failed: c.failed")),
        ])
        .then_timers(["keep/o-1"]);
    let state = state(scenario);
    assert_eq!(state["status"], "cancelled");
    assert_eq!(state["steps"], json!({ "a": "undone", "b": "undone", "c": "failed" }));
    assert_eq!(state["reason"], "step `c` failed: c.failed");
}

#[derive(Default, Serialize, Deserialize)]
struct Three;

impl Saga for Three {
    fn plan() -> Plan<Self> {
        Plan::new()
            .start("a.started", |_: &mut Self, _: Value| ())
            .step("a", |step| step.done_on("a.done").undo(|_, cx| cx.emit("a.undo", &())))
            .step("b", |step| step.done_on("b.done").undo(|_, cx| cx.emit("b.undo", &())))
            .step("c", |step| {
                let undo = |_: &Self, cx: &mut Context| cx.emit("c.undo", &());
                let step = step.done_on("c.done").failed_on("c.failed").undo(undo);
                step.timeout(Duration::from_secs(5)).undo_on_timeout()
            })
            .cancel(|_, reason, cx| cx.emit("ended", reason))
            .keep(Duration::from_secs(60))
    }
}

fn three(event: Event<Raw>, cx: &mut Context) -> Outcome {
    saga::<Three>(event, cx)
}

#[test]
fn cancels_with_the_reason_that_a_reply_gives() {
    Scenario::of(purchase)
        .given([told("orders.placed")])
        .when(told("stock.refused").json(&"sold out"))
        .then_emits([("orders.cancelled", json!("sold out"))]);
}

#[test]
fn changes_nothing_when_an_event_comes_again() {
    let all = ["orders.placed", "stock.reserved", "payments.authorized"];
    let mut sandbox = Sandbox::new();
    for (i, event_type) in all.iter().enumerate() {
        sandbox.run(purchase, told(event_type));
        let before = format!("{sandbox:?}");
        for again in &all[..=i] {
            for event in [told(again).position(99), told(again).id("another").json(&"seat 8")] {
                let run = sandbox.run(purchase, event);
                assert!(run.is_done() && run.emitted().is_empty(), "{again}");
                assert_eq!(run.lines()[0].level, Level::Debug);
            }
        }
        assert_eq!(format!("{sandbox:?}"), before, "{event_type}");
    }
}

#[test]
fn forgets_its_end_only_where_the_plan_says_so() {
    let ended = [told("a.started"), told("a.done"), told("b.done"), told("c.failed")];
    Scenario::of(three)
        .given(ended)
        .when_time_passes(Duration::from_secs(59))
        .then_timers(["keep/o-1"])
        .when_time_passes(Duration::from_secs(1))
        .then_emits_nothing()
        .then_timers([])
        .then_no_state("saga/o-1")
        .then_no_state("trail/o-1");
}

#[test]
fn keeps_the_last_lines_of_a_long_trail() {
    let line = json!({ "time": null, "event": { "id": "e", "type": "t" }, "what": "old" });
    let full = vec![line; super::trail::MOST_LINES];
    let mut sandbox = Sandbox::new().state("trail/o-1", &full);
    sandbox.run(purchase, told("orders.placed"));
    let lines = what(&sandbox);
    assert_eq!(lines.len(), super::trail::MOST_LINES);
    assert_eq!(lines[198..], ["started", "stock begun"]);
}

#[test]
fn goes_on_when_the_plan_has_got_another_step() {
    let running = json!({
        "status": "running", "step": "stock", "started": null, "steps": { "old": "done", "stock": "begun" },
        "reason": null, "data": { "order": 1, "seat": null },
    });
    Scenario::of(purchase)
        .within(Sandbox::new().state("saga/o-1", &running))
        .when(told("stock.reserved"))
        .then_emits([("payments.charge", json!(1))]);
}

#[test]
fn rejects_events_that_are_none_of_its_own() {
    Scenario::of(purchase)
        .when(told("orders.shipped"))
        .then_fails("no rule for events of type `orders.shipped`")
        .when(event("orders.placed"))
        .then_fails("a saga needs a key: set `key` for its handler in waxwing.toml")
        .when(told("stock.reserved").json(&7))
        .then_fails(
            "data of event `stock.reserved-1` of type `stock.reserved` is not what the handler expects",
        )
        .when(told("orders.placed").bytes("{"))
        .then_fails("EOF while parsing");
}

#[test]
fn asks_for_another_attempt_where_the_plan_is_wrong() {
    fn run_with<S: Saga>() -> Run {
        Sandbox::new().run(saga::<S>, told("a.started"))
    }
    macro_rules! plan {
        ($name:ident, $plan:expr, $why:expr) => {
            #[derive(Default, Serialize, Deserialize)]
            struct $name;
            impl Saga for $name {
                fn plan() -> Plan<Self> {
                    $plan
                }
            }
            let run = run_with::<$name>();
            let failure = run.failure().unwrap();
            assert!(failure.is_retry());
            assert_eq!(failure.reason(), concat!("the saga's plan ", $why));
        };
    }
    plan!(NoStart, Plan::new(), "has no start");
    plan!(Twice, plan_of(["a", "a"], ["x", "y"]), "has two steps `a`");
    plan!(SameEvent, plan_of(["a", "b"], ["x", "x"]), "names the event `x` twice");
    plan!(StartToo, plan_of(["a", "b"], ["x", "a.started"]), "names the event `a.started` twice");
    plan!(
        Endless,
        plan_of(["a", "b"], ["x", "y"]).step("c", |step| step.failed_on("z")),
        "has a step `c` that no event ends: say `done_on`"
    );
}

fn plan_of<S: 'static>(steps: [&str; 2], replies: [&str; 2]) -> Plan<S> {
    let plan = Plan::new().start("a.started", |_: &mut S, _: Value| ());
    steps
        .into_iter()
        .zip(replies)
        .fold(plan, |plan, (name, reply)| plan.step(name, |step| step.done_on(reply)))
}
