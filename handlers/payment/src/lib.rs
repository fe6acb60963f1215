//! **Money moves once.** A charge and its refund are remembered by order, so that commands that come twice
//! move nothing twice, whoever sends them. What the bank would say is a rule here: amounts above the setting
//! `limit` are declined.
//!
//! Like the inventory it takes part in both purchases: commanded by the order saga with `payments.charge` and
//! `payments.refund`, and by itself in the choreographed one, where it charges what is reserved.

use rust_decimal::Decimal;
use waxwing_sdk::prelude::*;
use waxwing_sdk::serde_json::Map;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    amount: Decimal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What others need of it: handed on as it is.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What was done for an order.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Payment {
    Authorized,
    Declined,
    Refunded,
}

#[waxwing_sdk::handler]
fn payment(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type() {
        "payments.charge" => charge(event.json()?, "payments.authorized", "payments.declined", cx),
        "payments.refund" => refund(&event.json()?, cx),
        "purchases.reserved" => charge(event.json()?, "purchases.paid", "purchases.declined", cx),
        other => Err(Failure::reject(format!("no rule for events of type `{other}`"))),
    }
}

fn charge(mut order: Order, authorized: &str, declined: &str, cx: &mut Context) -> Outcome {
    if cx.state().get::<Payment>(&order.order_id)?.is_some() {
        return Ok(()); // it was answered
    }
    let limit = cx.setting_as("limit")?.unwrap_or(Decimal::ONE_THOUSAND);
    let (payment, answer) = if order.amount > limit {
        order.reason = Some(format!("{} is above the limit of {limit}", order.amount));
        (Payment::Declined, declined)
    } else {
        (Payment::Authorized, authorized)
    };
    cx.state().set(&order.order_id, &payment)?;
    cx.emit(answer, &order)
}

fn refund(order: &Order, cx: &mut Context) -> Outcome {
    match cx.state().get(&order.order_id)? {
        Some(Payment::Authorized) => cx.state().set(&order.order_id, &Payment::Refunded)?,
        Some(Payment::Refunded) => return Ok(()),
        Some(Payment::Declined) | None => {
            return Err(Failure::reject(format!("order `{}` was not paid", order.order_id)));
        }
    }
    cx.emit("payments.refunded", order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, Scenario, TestEvent, event};

    fn order(event_type: &str, amount: f64) -> TestEvent {
        event(event_type).json(&json!({ "orderId": "o1", "amount": amount }))
    }

    fn with_limit() -> Scenario<Raw> {
        Scenario::of(payment).within(Sandbox::new().setting("limit", "100"))
    }

    #[test]
    fn authorizes_up_to_the_limit() {
        with_limit()
            .when(order("payments.charge", 100.0))
            .then_emits([("payments.authorized", json!({ "orderId": "o1", "amount": 100.0 }))]);
    }

    #[test]
    fn declines_above_the_limit_and_says_why() {
        let reason = "100.01 is above the limit of 100";
        with_limit().when(order("payments.charge", 100.01)).then_emits([(
            "payments.declined",
            json!({ "orderId": "o1", "amount": 100.01, "reason": reason }),
        )]);
    }

    #[test]
    fn moves_nothing_twice() {
        with_limit()
            .given([order("payments.charge", 5.0)])
            .when(order("payments.charge", 5.0))
            .then_emits_nothing()
            .when(order("payments.refund", 5.0))
            .then_emits([("payments.refunded", json!({ "orderId": "o1", "amount": 5.0 }))])
            .when(order("payments.refund", 5.0))
            .then_emits_nothing()
            .when(order("payments.charge", 5.0))
            .then_emits_nothing()
            .then_state("o1", &"refunded");
    }

    #[test]
    fn rejects_a_refund_of_what_was_not_paid() {
        with_limit().when(order("payments.refund", 5.0)).then_fails("order `o1` was not paid");
        let declined = with_limit().given([order("payments.charge", 500.0)]);
        declined.when(order("payments.refund", 500.0)).then_fails("order `o1` was not paid");
    }

    #[test]
    fn charges_what_is_reserved_and_hands_on_what_others_need() {
        let reserved = json!({ "orderId": "o1", "amount": 5.5, "productId": "p1" });
        with_limit()
            .when(event("purchases.reserved").json(&reserved))
            .then_emits([("purchases.paid", reserved.clone())]);
    }
}
