//! **A projection: a view of what has happened, for others to read.** The handler hears of sales
//! and keeps what they come to for each product. Its state *is* the view: with `publish = "kv"` any
//! NATS client reads it as a KV bucket, in any language.
//!
//! Another question is another view, made from the same events, and whoever sells knows of none of
//! them. Nothing is counted twice: the new sums and the mark that the sale was handled are one
//! step.

use waxwing_sdk::prelude::*;

/// What `{{ name }}.sold` says.
#[derive(Deserialize)]
struct Sold {
    product: String,
    quantity: u64,
    /// In cents, for all of them.
    amount: u64,
}

/// What is shown of a product.
#[derive(Default, Serialize, Deserialize)]
struct Sales {
    quantity: u64,
    amount: u64,
}

#[waxwing_sdk::handler]
fn sales(event: Event<Sold>, cx: &mut Context) -> Outcome {
    let sold = event.data;
    let mut sales: Sales = cx.state().get(&sold.product)?.unwrap_or_default();
    sales.quantity += sold.quantity;
    sales.amount += sold.amount;
    cx.state().set(&sold.product, &sales)?;
    Ok(())
}

// `cargo test` runs the function, `waxwing test` the module, as a host does.
#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, TestEvent, event};

    fn sold(product: &str, quantity: u64, amount: u64) -> TestEvent {
        let sale = json!({ "product": product, "quantity": quantity, "amount": amount });
        event("{{ name }}.sold").key(product).json(&sale)
    }

    #[test]
    fn adds_up_each_product() {
        Scenario::of(sales)
            .given([sold("tea", 2, 640), sold("coffee", 1, 450)])
            .when(sold("tea", 1, 320))
            .then_emits_nothing()
            .then_state("tea", &json!({ "quantity": 3, "amount": 960 }))
            .then_state("coffee", &json!({ "quantity": 1, "amount": 450 }));
    }

    #[test]
    fn rejects_a_sale_of_nothing() {
        Scenario::of(sales)
            .when(event("{{ name }}.sold").key("tea").json(&json!({})))
            .then_fails("product");
    }
}
