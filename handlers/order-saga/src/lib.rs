//! **An orchestrated purchase.** One handler knows the whole story of an order: reserve the stock, charge the
//! payment, confirm. It commands the services by events and hears their answers. When the payment is declined,
//! or is not answered in time, it takes back what was done; a payment that is authorised after all is
//! refunded. The plan below is all of it; the SDK keeps the rules (docs/sagas.md).
//!
//! The shop has the same purchase *choreographed*, without a handler of its own: the inventory hears
//! `purchases.placed`, the payment hears `purchases.reserved`, shipping hears `purchases.paid`, and when the
//! payment declines, the inventory hears that too. Nobody is in the middle, and a new service joins in by
//! listening; but nobody knows how far a purchase is, or notices that an answer never comes.

use rust_decimal::Decimal;
use waxwing_sdk::prelude::*;
use waxwing_sdk::{Plan, Saga, saga};

/// How long the inventory and the payment may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    product_id: String,
    quantity: u32,
    amount: Decimal,
}

#[derive(Default, Serialize, Deserialize)]
struct Purchase {
    order: Order,
}

#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

impl Saga for Purchase {
    fn plan() -> Plan<Self> {
        Plan::new()
            .start("orders.placed", |purchase: &mut Self, order: Order| purchase.order = order)
            .step("stock", |step| {
                step.run(|purchase, cx| cx.emit("stock.reserve", &purchase.order))
                    .done_on("stock.reserved")
                    .failed_with("stock.refused", |refusal: Refusal| refusal.reason)
                    .timeout(PATIENCE)
                    .undo(|purchase, cx| cx.emit("stock.release", &purchase.order))
            })
            .step("payment", |step| {
                step.run(|purchase, cx| cx.emit("payments.charge", &purchase.order))
                    .done_on("payments.authorized")
                    .failed_with("payments.declined", |refusal: Refusal| refusal.reason)
                    .timeout(PATIENCE)
                    .undo(|purchase, cx| cx.emit("payments.refund", &purchase.order))
            })
            .complete(|purchase, cx| cx.emit("orders.confirmed", &purchase.order))
            .cancel(|purchase, reason, cx| {
                cx.emit("orders.cancelled", &json!({ "orderId": purchase.order.order_id, "reason": reason }))
            })
    }
}

#[waxwing_sdk::handler]
fn order_saga(event: Event<Raw>, cx: &mut Context) -> Outcome {
    saga::<Purchase>(event, cx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, TestEvent, event};

    fn order() -> Value {
        json!({ "orderId": "o1", "productId": "p1", "quantity": 2, "amount": 9.9 })
    }

    fn told(event_type: &str) -> TestEvent {
        event(event_type).id(event_type).key("o1").json(&order())
    }

    fn refused(event_type: &str) -> TestEvent {
        told(event_type).json(&json!({ "orderId": "o1", "reason": "not today" }))
    }

    fn charged() -> Scenario<Raw> {
        Scenario::of(order_saga).given([told("orders.placed"), told("stock.reserved")])
    }

    fn cancelled(reason: &str) -> (&'static str, Value) {
        ("orders.cancelled", json!({ "orderId": "o1", "reason": reason }))
    }

    #[test]
    fn confirms_what_is_reserved_and_paid() {
        Scenario::of(order_saga)
            .when(told("orders.placed"))
            .then_emits([("stock.reserve", order())])
            .when(told("stock.reserved"))
            .then_emits([("payments.charge", order())])
            .when(told("payments.authorized"))
            .then_emits([("orders.confirmed", order())])
            .then_timers([]);
    }

    #[test]
    fn cancels_what_is_sold_out() {
        Scenario::of(order_saga)
            .given([told("orders.placed")])
            .when(refused("stock.refused"))
            .then_emits([cancelled("not today")])
            .then_timers([]);
    }

    #[test]
    fn releases_the_stock_once_when_the_payment_is_declined() {
        charged()
            .when(refused("payments.declined"))
            .then_emits([("stock.release", order()), cancelled("not today")])
            .then_timers([])
            .when(refused("payments.declined"))
            .then_emits_nothing();
    }

    #[test]
    fn refunds_once_what_is_paid_too_late() {
        charged()
            .when_time_passes(PATIENCE)
            .then_emits([("stock.release", order()), cancelled("step `payment` had no reply within 30s")])
            .then_timers([])
            .when(told("payments.authorized"))
            .then_emits([("payments.refund", order())])
            .when(told("payments.authorized"))
            .then_emits_nothing();
    }
}
