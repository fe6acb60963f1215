//! **The read side (CQRS).** The order decides, and keeps what it needs for deciding; this handler answers, and keeps
//! what is asked for. It hears the orders' histories and makes a view of them: its state *is* the view. Another
//! question is another view, made from the same histories, and no order knows of it.
//!
//! Commands and queries meet nowhere, so the view may be a moment behind: whoever has placed an order and asks at
//! once may hear that there is none. In exchange it answers while orders are being decided, or cannot be.
//!
//! An event writes two or three values: `order/<id>`, all that is shown of one order, and `status/<status>`, a count
//! and the last few, for the status that it comes to and the one that it leaves. A value is written whole each time,
//! and all orders share those of the four statuses: so lists stay short, and one event is handled at a time. Nothing is
//! counted twice, as each event has its effects once.
//!
//! The types of the history stand here once more, with what the view needs of them: handlers share no code, only
//! events. So each of them can be changed and deployed without the others.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use waxwing_sdk::prelude::*;

/// How many orders of one status are listed.
const LISTED: usize = 20;

/// What has happened to an order, as its history says it.
#[derive(Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Change {
    Placed(Terms),
    Paid,
    Shipped { shipment_id: String },
    Cancelled { reason: Option<String> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terms {
    product_id: String,
    quantity: u32,
    amount: Decimal,
}

#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Placed,
    Paid,
    Shipped,
    Cancelled,
}

/// What is shown of an order.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    status: Status,
    product_id: String,
    quantity: u32,
    amount: Decimal,
    /// When it came to each status. Ordered, so that the same events always give the same bytes.
    times: BTreeMap<Status, String>,
    shipment_id: Option<String>,
    /// Why it was cancelled.
    reason: Option<String>,
}

/// What is shown of a status.
#[derive(Serialize, Deserialize, Default)]
struct Orders {
    /// How many orders have it.
    count: u64,
    /// Those of them that came to it last, the last one first; at most [`LISTED`].
    last: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Show {
    order_id: String,
}

#[derive(Deserialize)]
struct List {
    status: Status,
}

#[waxwing_sdk::handler]
fn order_view(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type() {
        "cmd.order.show" => show(&event.json()?, cx),
        "cmd.order.list" => list(&event.json()?, cx),
        _ => learn(&event, cx),
    }
}

fn show(show: &Show, cx: &mut Context) -> Outcome {
    let order: Option<Order> = cx.state().get(&order_key(&show.order_id))?;
    cx.reply(&order.or_reject("no such order")?)
}

fn list(list: &List, cx: &mut Context) -> Outcome {
    let Orders { count, last } = orders(list.status, cx)?;
    cx.reply(&json!({ "status": list.status, "count": count, "last": last }))
}

fn learn(event: &Event<Raw>, cx: &mut Context) -> Outcome {
    let id = event.key();
    let known: Option<Order> = cx.state().get(&order_key(id))?;
    let left = known.as_ref().map(|order| order.status);
    let mut order = match event.fact()? {
        Change::Placed(terms) => Order::of(id, terms),
        change => known.or_reject("it is not known that the order was placed")?.after(change),
    };
    if let Some(time) = event.time() {
        order.times.insert(order.status, time.to_owned());
    }
    cx.state().set(&order_key(id), &order)?;
    if let Some(left) = left {
        let mut orders = orders(left, cx)?;
        orders.remove(id);
        cx.state().set(status_key(left), &orders)?;
    }
    let mut orders = orders(order.status, cx)?;
    orders.add(id);
    cx.state().set(status_key(order.status), &orders)?;
    Ok(())
}

impl Order {
    fn of(id: &str, terms: Terms) -> Order {
        Order {
            order_id: id.to_owned(),
            status: Status::Placed,
            product_id: terms.product_id,
            quantity: terms.quantity,
            amount: terms.amount,
            times: BTreeMap::new(),
            shipment_id: None,
            reason: None,
        }
    }

    fn after(mut self, change: Change) -> Order {
        match change {
            Change::Placed(_) => self.status = Status::Placed,
            Change::Paid => self.status = Status::Paid,
            Change::Shipped { shipment_id } => {
                self.status = Status::Shipped;
                self.shipment_id = Some(shipment_id);
            }
            Change::Cancelled { reason } => {
                self.status = Status::Cancelled;
                self.reason = reason;
            }
        }
        self
    }
}

impl Orders {
    fn add(&mut self, id: &str) {
        self.count += 1;
        self.last.insert(0, id.to_owned());
        self.last.truncate(LISTED);
    }

    fn remove(&mut self, id: &str) {
        self.count = self.count.saturating_sub(1);
        self.last.retain(|listed| listed != id);
    }
}

fn orders(status: Status, cx: &mut Context) -> Result<Orders, Failure> {
    Ok(cx.state().get(status_key(status))?.unwrap_or_default())
}

fn order_key(id: &str) -> String {
    format!("order/{id}")
}

fn status_key(status: Status) -> &'static str {
    match status {
        Status::Placed => "status/placed",
        Status::Paid => "status/paid",
        Status::Shipped => "status/shipped",
        Status::Cancelled => "status/cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, TestEvent, event};

    fn fact(id: &str, event_type: &str, second: u32) -> TestEvent {
        let time = format!("2026-05-01T12:00:{second:02}Z");
        event(event_type).subject(&format!("order-history.{id}")).about(id).key(id).time(&time)
    }

    fn placed(id: &str) -> TestEvent {
        let terms = json!({ "orderId": id, "productId": "p1", "quantity": 2, "amount": 9.9 });
        fact(id, "placed", 0).json(&terms)
    }

    fn shipped(id: &str) -> TestEvent {
        fact(id, "shipped", 2).json(&json!({ "shipmentId": "s1" }))
    }

    fn cancelled(id: &str) -> TestEvent {
        fact(id, "cancelled", 1).json(&json!({ "reason": "sold out" }))
    }

    fn show(id: &str) -> TestEvent {
        event("cmd.order.show").key(id).json(&json!({ "orderId": id }))
    }

    fn list(status: &str) -> TestEvent {
        event("cmd.order.list").key(status).json(&json!({ "status": status }))
    }

    fn view() -> Scenario<Raw> {
        Scenario::of(order_view)
    }

    #[test]
    fn shows_an_order_with_the_times_of_its_statuses() {
        view()
            .given([placed("o1"), fact("o1", "paid", 1), shipped("o1")])
            .when_request(show("o1"))
            .then_replies(&json!({
                "orderId": "o1",
                "status": "shipped",
                "productId": "p1",
                "quantity": 2,
                "amount": 9.9,
                "times": {
                    "placed": "2026-05-01T12:00:00Z",
                    "paid": "2026-05-01T12:00:01Z",
                    "shipped": "2026-05-01T12:00:02Z",
                },
                "shipmentId": "s1",
                "reason": null,
            }));
    }

    #[test]
    fn shows_why_an_order_is_cancelled() {
        let run = view().given([placed("o1"), cancelled("o1")]).sandbox().ask(order_view, show("o1"));
        let shown: Value = run.reply().unwrap().json();
        assert_eq!((&shown["status"], &shown["reason"]), (&json!("cancelled"), &json!("sold out")));
    }

    #[test]
    fn moves_an_order_from_list_to_list() {
        view()
            .given([placed("o1"), placed("o2"), placed("o3"), fact("o2", "paid", 1), cancelled("o3")])
            .when_request(list("placed"))
            .then_replies(&json!({ "status": "placed", "count": 1, "last": ["o1"] }))
            .when_request(list("paid"))
            .then_replies(&json!({ "status": "paid", "count": 1, "last": ["o2"] }))
            .when_request(list("cancelled"))
            .then_replies(&json!({ "status": "cancelled", "count": 1, "last": ["o3"] }))
            .when_request(list("shipped"))
            .then_replies(&json!({ "status": "shipped", "count": 0, "last": [] }));
    }

    #[test]
    fn counts_all_orders_and_lists_the_last() {
        let ids: Vec<_> = (0..=LISTED).map(|i| format!("o{i}")).collect();
        let last: Vec<_> = ids.iter().skip(1).rev().collect();
        view()
            .given(ids.iter().map(|id| placed(id)))
            .when_request(list("placed"))
            .then_replies(&json!({ "status": "placed", "count": LISTED + 1, "last": last }))
            .given([cancelled("o0")])
            .when_request(list("placed"))
            .then_replies(&json!({ "status": "placed", "count": LISTED, "last": last }));
    }

    #[test]
    fn writes_the_order_and_its_statuses_and_emits_nothing() {
        let moved = view().given([placed("o1")]).when(fact("o1", "paid", 1)).then_emits_nothing();
        assert_eq!(moved.sandbox().keys(), ["order/o1", "status/paid", "status/placed"]);
    }

    #[test]
    fn rejects_questions_that_have_no_answer() {
        view().when_request(show("o1")).then_fails("no such order");
        view().when_request(list("lost")).then_fails("unknown variant `lost`");
    }

    #[test]
    fn rejects_what_no_history_says() {
        view().when(shipped("o1")).then_fails("it is not known that the order was placed");
        view().given([placed("o1")]).when(fact("o1", "eaten", 1)).then_fails("unknown variant `eaten`");
    }
}
