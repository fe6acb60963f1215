//! **The same reaction to two stories.** Shipping sends what is paid. It does not care who made sure of that:
//! the order saga, which confirms an order, or the choreographed purchase, which ends with a payment. It
//! remembers each order, so that one that is told twice is sent once.

use waxwing_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paid {
    order_id: String,
    product_id: String,
    quantity: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShipmentScheduled {
    shipment_id: String,
    order_id: String,
    product_id: String,
    quantity: u32,
}

#[waxwing_sdk::handler]
fn shipping(event: Event<Paid>, cx: &mut Context) -> Outcome {
    if cx.state().get_bytes(&event.data.order_id)?.is_some() {
        return Ok(());
    }
    let Paid { order_id, product_id, quantity } = event.data;
    let shipment = ShipmentScheduled { shipment_id: format!("s-{order_id}"), order_id, product_id, quantity };
    cx.state().set(&shipment.order_id, &shipment)?;
    cx.emit("shipments.scheduled", &shipment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, event};

    #[test]
    fn schedules_each_order_once() {
        let paid = json!({ "orderId": "o1", "productId": "p1", "quantity": 2 });
        let shipment = json!({ "shipmentId": "s-o1", "orderId": "o1", "productId": "p1", "quantity": 2 });
        Scenario::of(shipping)
            .when(event("orders.confirmed").json(&paid))
            .then_emits([("shipments.scheduled", shipment.clone())])
            .then_state("o1", &shipment)
            .when(event("purchases.paid").json(&paid))
            .then_emits_nothing();
    }
}
