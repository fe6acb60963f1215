//! **An aggregate among other handlers.** An order is what has happened to it, as an account is; and it has rules: it
//! is placed, then paid and shipped, or cancelled while it is not paid. Commands want something of it (`order.place`,
//! and as a request `cmd.order.place`). Events of others tell it what they did: `orders.confirmed`,
//! `orders.cancelled`, `shipments.scheduled`. The aggregate decides on both, with one answer for each of them in each
//! status (`decide`). What is told twice makes nothing happen, so it needs no `dedupe`; what cannot be is
//! refused.
//!
//! Its history (`order-history.*`) is its own: what it decides on, and what its views are made of. Others hear an
//! *integration event* beside it, `orders.placed`, in the shape that they have agreed on; both are written, or neither
//! is. The order saga takes it from there: the order does not know how it is paid, and the saga not what may become of
//! an order.
//!
//! There is no loop: the order hears neither what it emits nor its own history.

use rust_decimal::Decimal;
use waxwing_sdk::prelude::*;

/// In bytes. Others make keys of their own of an id.
const LONGEST_ID: usize = 100;

/// What was ordered; also the data of `orders.placed`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Terms {
    order_id: String,
    product_id: String,
    quantity: u32,
    amount: Decimal,
}

#[derive(Default, Serialize, Deserialize, Debug, PartialEq)]
struct Order {
    status: Status,
    /// None until it is placed.
    terms: Option<Terms>,
}

#[derive(Default, Clone, Copy, Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Status {
    #[default]
    Unknown,
    Placed,
    Paid,
    Shipped,
    Cancelled,
}

#[derive(Clone, Debug)]
enum Command {
    Place(Terms),
    Pay,
    Ship { shipment_id: String },
    Cancel { reason: Option<String> },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "type", content = "data", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum Change {
    Placed(Terms),
    Paid,
    Shipped { shipment_id: String },
    Cancelled { reason: Option<String> },
}

#[derive(Serialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Refusal {
    /// Another order has this id.
    IdTaken,
    /// An id of more bytes than this.
    IdTooLong { most: usize },
    /// Nothing is ordered, or for nothing.
    ImpossibleAmount,
    /// An order of this status cannot do it.
    NotNow { status: Status },
}

impl Aggregate for Order {
    type Command = Command;
    type Event = Change;
    type Refusal = Refusal;

    fn decide(&self, command: Command) -> Result<Vec<Change>, Refusal> {
        match (self.status, command) {
            (Status::Unknown, Command::Place(terms)) => Ok(vec![Change::Placed(terms.checked()?)]),
            (_, Command::Place(terms)) if self.terms.as_ref() == Some(&terms) => Ok(vec![]),
            (_, Command::Place(_)) => Err(Refusal::IdTaken),
            // It was not placed here: the choreographed purchase is shipped, too.
            (Status::Unknown, _) => Ok(vec![]),
            (Status::Placed, Command::Pay) => Ok(vec![Change::Paid]),
            (Status::Placed, Command::Cancel { reason }) => Ok(vec![Change::Cancelled { reason }]),
            (Status::Paid, Command::Ship { shipment_id }) => Ok(vec![Change::Shipped { shipment_id }]),
            (Status::Paid | Status::Shipped, Command::Pay)
            | (Status::Shipped, Command::Ship { .. })
            | (Status::Cancelled, Command::Cancel { .. }) => Ok(vec![]),
            (status, _) => Err(Refusal::NotNow { status }),
        }
    }

    fn evolve(&mut self, event: Change) {
        self.status = match event {
            Change::Placed(terms) => {
                self.terms = Some(terms);
                Status::Placed
            }
            Change::Paid => Status::Paid,
            Change::Shipped { .. } => Status::Shipped,
            Change::Cancelled { .. } => Status::Cancelled,
        };
    }
}

impl Terms {
    fn checked(self) -> Result<Terms, Refusal> {
        if self.order_id.len() > LONGEST_ID {
            return Err(Refusal::IdTooLong { most: LONGEST_ID });
        }
        if self.quantity == 0 || self.amount <= Decimal::ZERO {
            return Err(Refusal::ImpossibleAmount);
        }
        Ok(self)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scheduled {
    shipment_id: String,
}

#[derive(Deserialize)]
struct Cancelled {
    reason: Option<String>,
}

#[waxwing_sdk::handler(aggregate = Order)]
fn order(event: Event<Raw>, cx: &mut Context) -> Outcome {
    let (id, command) = (event.key(), command(&event)?);
    let mut order = cx.aggregate::<Order>(id)?;
    let is_new = order.is_new();
    if let Err(refusal) = order.decide(command)? {
        return refuse(&event, &refusal, cx);
    }
    let (status, terms) = (order.status, order.terms.clone());
    if let Some(terms) = terms.filter(|_| is_new) {
        cx.emit("orders.placed", &terms)?;
    }
    if cx.is_asked() { cx.reply(&json!({ "orderId": id, "status": status })) } else { Ok(()) }
}

fn command(event: &Event<Raw>) -> Result<Command, Failure> {
    Ok(match event.event_type() {
        "order.place" | "cmd.order.place" => Command::Place(event.json()?),
        "orders.confirmed" => Command::Pay,
        "orders.cancelled" => Command::Cancel { reason: event.json::<Cancelled>()?.reason },
        "shipments.scheduled" => Command::Ship { shipment_id: event.json::<Scheduled>()?.shipment_id },
        other => return Err(Failure::reject(format!("`{other}` says nothing to an order"))),
    })
}

fn refuse(event: &Event<Raw>, why: &Refusal, cx: &mut Context) -> Outcome {
    let id = event.key();
    if cx.is_asked() {
        return cx.reply(&json!({ "orderId": id, "refused": why }));
    }
    cx.emit("order.refused", &json!({ "orderId": id, "what": event.event_type(), "why": why }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, Scenario, TestEvent, event};

    fn terms() -> Terms {
        Terms { order_id: "o1".into(), product_id: "p1".into(), quantity: 2, amount: "9.9".parse().unwrap() }
    }

    fn told(event_type: &str, data: impl Serialize) -> TestEvent {
        event(event_type).key("o1").json(&data)
    }

    fn placed() -> Vec<Change> {
        vec![Change::Placed(terms())]
    }

    fn paid() -> Vec<Change> {
        vec![Change::Placed(terms()), Change::Paid]
    }

    fn order_with(history: &[Change]) -> Scenario<Raw> {
        Scenario::of(order).within(Sandbox::new().histories_on("order-history")).given_history("o1", history)
    }

    fn scheduled() -> TestEvent {
        told("shipments.scheduled", json!({ "orderId": "o1", "shipmentId": "s1" }))
    }

    fn cancelled() -> TestEvent {
        told("orders.cancelled", json!({ "orderId": "o1", "reason": "sold out" }))
    }

    fn status(scenario: Scenario<Raw>) -> Status {
        scenario.sandbox().aggregate::<Order>("o1").status
    }

    #[test]
    fn tells_others_that_it_is_placed_in_their_shape() {
        let order = json!({ "orderId": "o1", "productId": "p1", "quantity": 2, "amount": 9.9 });
        order_with(&[])
            .when(told("order.place", &order))
            .then_emits([("order-history.o1", order.clone()), ("orders.placed", order.clone())])
            .then_state("o1", &json!({ "status": "placed", "terms": order }));
    }

    #[test]
    fn is_paid_and_shipped_as_others_tell_it() {
        let shipped = order_with(&placed())
            .given([told("orders.confirmed", terms())])
            .when(scheduled())
            .then_emits([("order-history.o1", json!({ "shipmentId": "s1" }))]);
        assert_eq!(status(shipped), Status::Shipped);
    }

    #[test]
    fn is_cancelled_while_it_is_not_paid() {
        let gone = order_with(&placed())
            .when(cancelled())
            .then_emits([("order-history.o1", json!({ "reason": "sold out" }))]);
        assert_eq!(status(gone), Status::Cancelled);
        order_with(&paid()).when(cancelled()).then_emits([(
            "order.refused",
            json!({ "orderId": "o1", "what": "orders.cancelled", "why": { "not-now": { "status": "paid" } } }),
        )]);
    }

    #[test]
    fn has_one_answer_for_each_status_and_command() {
        let ship = || Change::Shipped { shipment_id: "s1".into() };
        let cancel = || Change::Cancelled { reason: None };
        let not = |status| Err(Refusal::NotNow { status });
        let nothing = || Ok(vec![]);
        // What comes of pay, ship and cancel.
        let rules = [
            (Status::Unknown, [nothing(), nothing(), nothing()]),
            (Status::Placed, [Ok(vec![Change::Paid]), not(Status::Placed), Ok(vec![cancel()])]),
            (Status::Paid, [nothing(), Ok(vec![ship()]), not(Status::Paid)]),
            (Status::Shipped, [nothing(), nothing(), not(Status::Shipped)]),
            (Status::Cancelled, [not(Status::Cancelled), not(Status::Cancelled), nothing()]),
        ];
        for (status, answers) in rules {
            let order = Order { status, terms: Some(terms()) };
            let commands =
                [Command::Pay, Command::Ship { shipment_id: "s1".into() }, Command::Cancel { reason: None }];
            for (command, answer) in commands.into_iter().zip(answers) {
                assert_eq!(order.decide(command.clone()), answer, "{status:?} {command:?}");
            }
        }
    }

    #[test]
    fn its_history_says_what_its_views_read() {
        let terms = json!({ "orderId": "o1", "productId": "p1", "quantity": 2, "amount": 9.9 });
        for (change, said) in [
            (Change::Placed(self::terms()), json!({ "type": "placed", "data": terms })),
            (Change::Paid, json!({ "type": "paid" })),
            (
                Change::Shipped { shipment_id: "s1".into() },
                json!({ "type": "shipped", "data": { "shipmentId": "s1" } }),
            ),
            (Change::Cancelled { reason: None }, json!({ "type": "cancelled", "data": { "reason": null } })),
        ] {
            assert_eq!(json!(change), said);
        }
    }

    #[test]
    fn does_nothing_when_it_is_told_twice() {
        let sent = || order_with(&paid()).given([scheduled()]);
        for again in [told("order.place", terms()), told("orders.confirmed", terms()), scheduled()] {
            sent().when(again).then_emits_nothing();
        }
        order_with(&placed()).given([cancelled()]).when(cancelled()).then_emits_nothing();
    }

    #[test]
    fn leaves_alone_what_was_not_placed_here() {
        for other in [told("orders.confirmed", terms()), scheduled(), cancelled()] {
            order_with(&[]).when(other).then_emits_nothing().then_no_state("o1");
        }
    }

    #[test]
    fn refuses_an_id_that_is_another_orders() {
        order_with(&placed()).when(told("order.place", Terms { quantity: 3, ..terms() })).then_emits([(
            "order.refused",
            json!({ "orderId": "o1", "what": "order.place", "why": "id-taken" }),
        )]);
    }

    #[test]
    fn refuses_what_cannot_be_ordered() {
        let place = |terms| Order::default().decide(Command::Place(terms));
        let amount = |text: &str| Terms { amount: text.parse().unwrap(), ..terms() };
        for wrong in [Terms { quantity: 0, ..terms() }, amount("0"), amount("-0.01")] {
            assert_eq!(place(wrong), Err(Refusal::ImpossibleAmount));
        }
        assert!(place(amount("0.01")).is_ok());
        let id = |length| Terms { order_id: "o".repeat(length), ..terms() };
        assert!(place(id(LONGEST_ID)).is_ok());
        assert_eq!(place(id(LONGEST_ID + 1)), Err(Refusal::IdTooLong { most: LONGEST_ID }));
    }

    #[test]
    fn who_asks_gets_the_status_or_why_not() {
        let place = |quantity| told("cmd.order.place", Terms { quantity, ..terms() });
        let asked = order_with(&[])
            .when_request(place(2))
            .then_replies(&json!({ "orderId": "o1", "status": "placed" }))
            .given([told("orders.confirmed", terms())])
            .when_request(place(2))
            .then_emits_nothing()
            .then_replies(&json!({ "orderId": "o1", "status": "paid" }));
        asked
            .when_request(place(3))
            .then_emits_nothing()
            .then_replies(&json!({ "orderId": "o1", "refused": "id-taken" }));
    }

    #[test]
    fn rejects_what_says_nothing_to_an_order() {
        order_with(&[])
            .when(told("orders.placed", terms()))
            .then_fails("`orders.placed` says nothing to an order");
    }
}
