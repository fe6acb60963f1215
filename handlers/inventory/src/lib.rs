//! **Commands that may come twice.** The inventory keeps what an order asks for, and gives it back. Whoever asks
//! may ask again, and a release may come before its reservation: so each order has one record that says how
//! far it is, and what is done for an order is done once. Refusing is an answer, not a failure.
//!
//! It takes part in both purchases of the shop. The order saga *commands* it: `stock.reserve`,
//! `stock.release`. In the choreographed purchase nobody does: it *reacts* to what has happened,
//! `purchases.placed` and `purchases.declined`.

use waxwing_sdk::prelude::*;
use waxwing_sdk::serde_json::Map;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Set {
    product_id: String,
    quantity: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    order_id: String,
    product_id: String,
    quantity: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What others need of it, such as the amount: handed on as it is.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What is known of a product.
#[derive(Serialize, Deserialize, Default)]
struct Stock {
    /// How many there are, reserved ones included.
    quantity: u32,
    reserved: u32,
}

/// How far an order is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kept {
    Reserved,
    Refused,
    Released,
}

#[waxwing_sdk::handler]
fn inventory(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type() {
        "stock.set" => set(&event.json()?, cx),
        "stock.reserve" => reserve(event.json()?, "stock.reserved", "stock.refused", cx),
        "stock.release" => release(&event.json()?, "stock.released", cx),
        "purchases.placed" => reserve(event.json()?, "purchases.reserved", "purchases.cancelled", cx),
        "purchases.declined" => release(&event.json()?, "purchases.cancelled", cx),
        other => Err(Failure::reject(format!("no rule for events of type `{other}`"))),
    }
}

fn set(set: &Set, cx: &mut Context) -> Outcome {
    let mut stock = stock(&set.product_id, cx)?;
    stock.quantity = set.quantity;
    cx.state().set(&product(&set.product_id), &stock)?;
    Ok(())
}

fn reserve(mut order: Order, reserved: &str, refused: &str, cx: &mut Context) -> Outcome {
    if cx.state().get::<Kept>(&kept(&order))?.is_some() {
        return Ok(()); // it was answered, or released before
    }
    let mut stock = stock(&order.product_id, cx)?;
    let left = stock.quantity.saturating_sub(stock.reserved);
    if order.quantity > left {
        order.reason = Some(format!("{left} of `{}` are left", order.product_id));
        cx.state().set(&kept(&order), &Kept::Refused)?;
        return cx.emit(refused, &order);
    }
    stock.reserved += order.quantity;
    cx.state().set(&product(&order.product_id), &stock)?;
    cx.state().set(&kept(&order), &Kept::Reserved)?;
    cx.emit(reserved, &order)
}

fn release(order: &Order, released: &str, cx: &mut Context) -> Outcome {
    match cx.state().get(&kept(order))? {
        Some(Kept::Refused | Kept::Released) => return Ok(()),
        Some(Kept::Reserved) => {
            let mut stock = stock(&order.product_id, cx)?;
            stock.reserved = stock.reserved.saturating_sub(order.quantity);
            cx.state().set(&product(&order.product_id), &stock)?;
        }
        None => {} // the reservation comes later, and nothing is kept for it
    }
    cx.state().set(&kept(order), &Kept::Released)?;
    cx.emit(released, order)
}

fn stock(product_id: &str, cx: &mut Context) -> Result<Stock, Failure> {
    Ok(cx.state().get(&product(product_id))?.unwrap_or_default())
}

fn product(id: &str) -> String {
    format!("product/{id}")
}

fn kept(order: &Order) -> String {
    format!("order/{}", order.order_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, Scenario, TestEvent, event};

    fn order(event_type: &str, quantity: u32) -> TestEvent {
        event(event_type).json(&json!({ "orderId": "o1", "productId": "p1", "quantity": quantity }))
    }

    fn with_stock(quantity: u32) -> Scenario<Raw> {
        Scenario::of(inventory).within(Sandbox::new().state("product/p1", &stock(quantity, 0)))
    }

    fn stock(quantity: u32, reserved: u32) -> Stock {
        Stock { quantity, reserved }
    }

    #[test]
    fn reserves_what_is_there() {
        let answer = json!({ "orderId": "o1", "productId": "p1", "quantity": 3 });
        Scenario::of(inventory)
            .given([event("stock.set").json(&json!({ "productId": "p1", "quantity": 3 }))])
            .when(order("stock.reserve", 3))
            .then_emits([("stock.reserved", answer)])
            .then_state("product/p1", &stock(3, 3));
    }

    #[test]
    fn refuses_what_is_not_there_and_says_why() {
        with_stock(2)
            .when(order("stock.reserve", 3))
            .then_emits([(
                "stock.refused",
                json!({ "orderId": "o1", "productId": "p1", "quantity": 3, "reason": "2 of `p1` are left" }),
            )])
            .then_state("product/p1", &stock(2, 0));
    }

    #[test]
    fn has_its_first_stock_again_after_a_release() {
        with_stock(5)
            .given([order("stock.reserve", 3)])
            .when(order("stock.release", 3))
            .then_emits([("stock.released", json!({ "orderId": "o1", "productId": "p1", "quantity": 3 }))])
            .then_state("product/p1", &stock(5, 0));
    }

    #[test]
    fn does_nothing_when_a_command_comes_twice() {
        with_stock(5)
            .given([order("stock.reserve", 3)])
            .when(order("stock.reserve", 3))
            .then_emits_nothing()
            .when(event("stock.set").json(&json!({ "productId": "p1", "quantity": 5 })))
            .then_state("product/p1", &stock(5, 3))
            .given([order("stock.release", 3)])
            .when(order("stock.release", 3))
            .then_emits_nothing()
            .when(order("stock.reserve", 3))
            .then_emits_nothing()
            .then_state("product/p1", &stock(5, 0));
    }

    #[test]
    fn keeps_nothing_for_an_order_whose_release_came_first() {
        with_stock(5)
            .given([order("stock.release", 3)])
            .when(order("stock.reserve", 3))
            .then_emits_nothing()
            .then_state("product/p1", &stock(5, 0));
    }

    #[test]
    fn reacts_to_purchases_and_hands_on_what_others_need() {
        let placed = json!({ "orderId": "o1", "productId": "p1", "quantity": 3, "amount": 9.9 });
        let mut declined = placed.clone();
        declined["reason"] = json!("above the limit");
        with_stock(5)
            .when(event("purchases.placed").json(&placed))
            .then_emits([("purchases.reserved", placed)])
            .when(event("purchases.declined").json(&declined))
            .then_emits([("purchases.cancelled", declined.clone())])
            .then_state("product/p1", &stock(5, 0));
    }
}
