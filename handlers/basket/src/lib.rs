//! **A reaction with memory, in one module for two types of event.** The handler learns of items and of
//! prices, remembers both for each product, and tells what a new price does to the baskets that hold
//! it. It asks no one: what it knows of prices it has heard from `prices.updated`. The manifest keys it by
//! product, so the items and prices of one product come in order, and `revision` counts without gaps. Whoever
//! wants to know what it knows of a product asks with a request.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use waxwing_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemAdded {
    basket_id: String,
    product_id: String,
    quantity: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceUpdated {
    product_id: String,
    new_price: Decimal,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct BasketsRepriced {
    product_id: String,
    /// How many baskets hold the product.
    baskets: usize,
    /// What the product costs in all of them together.
    old_total: Decimal,
    new_total: Decimal,
    revision: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Show {
    product_id: String,
}

/// The answer to a request.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Shown {
    product_id: String,
    /// None until its first price is known.
    price: Option<Decimal>,
    baskets: usize,
    total: Decimal,
}

/// What the handler knows of one product.
#[derive(Serialize, Deserialize, Default)]
struct Product {
    /// None until its first price is known.
    price: Option<Decimal>,
    /// Quantities by basket; ordered, so that the same events always give the same bytes.
    quantities: BTreeMap<String, u64>,
    /// How many prices have been heard.
    revision: u64,
}

#[waxwing_sdk::handler]
fn basket(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type() {
        "baskets.item-added" => add_item(event.json()?, cx),
        "prices.updated" => reprice(event.json()?, cx),
        "cmd.basket.show" => show(event.json()?, cx),
        other => Err(Failure::reject(format!("no rule for events of type `{other}`"))),
    }
}

fn add_item(item: ItemAdded, cx: &mut Context) -> Outcome {
    let mut product: Product = cx.state().get(&item.product_id)?.unwrap_or_default();
    *product.quantities.entry(item.basket_id).or_default() += u64::from(item.quantity);
    cx.state().set(&item.product_id, &product)?;
    Ok(())
}

fn reprice(update: PriceUpdated, cx: &mut Context) -> Outcome {
    let mut product: Product = cx.state().get(&update.product_id)?.unwrap_or_default();
    let old_total = product.total();
    product.price = Some(update.new_price);
    product.revision += 1;
    cx.state().set(&update.product_id, &product)?;
    cx.emit(
        "baskets.repriced",
        &BasketsRepriced {
            product_id: update.product_id,
            baskets: product.quantities.len(),
            old_total,
            new_total: product.total(),
            revision: product.revision,
        },
    )
}

fn show(show: Show, cx: &mut Context) -> Outcome {
    let product: Option<Product> = cx.state().get(&show.product_id)?;
    let product = product.or_reject("no such product")?;
    cx.reply(&Shown {
        product_id: show.product_id,
        price: product.price,
        baskets: product.quantities.len(),
        total: product.total(),
    })
}

impl Product {
    fn total(&self) -> Decimal {
        let quantity: u64 = self.quantities.values().sum();
        self.price.unwrap_or_default() * Decimal::from(quantity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Run, Sandbox, event};

    fn add(sandbox: &mut Sandbox, basket_id: &str, quantity: u32) {
        let item = json!({ "basketId": basket_id, "productId": "p1", "quantity": quantity });
        let run = sandbox.run(basket, event("baskets.item-added").json(&item));
        assert!(run.is_done());
        assert!(run.emitted().is_empty());
    }

    fn update(sandbox: &mut Sandbox, price: f64) -> Run {
        let update = json!({ "productId": "p1", "oldPrice": null, "newPrice": price });
        sandbox.run(basket, event("prices.updated").json(&update))
    }

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn tells_what_a_new_price_does_to_the_baskets() {
        let mut sandbox = Sandbox::new();
        update(&mut sandbox, 2.5);
        add(&mut sandbox, "b1", 2);
        add(&mut sandbox, "b2", 1);
        add(&mut sandbox, "b1", 1);
        let told: BasketsRepriced = update(&mut sandbox, 3.1).only("baskets.repriced");
        assert_eq!(
            told,
            BasketsRepriced {
                product_id: "p1".to_owned(),
                baskets: 2,
                old_total: decimal("10"),
                new_total: decimal("12.4"),
                revision: 2,
            }
        );
    }

    #[test]
    fn tells_of_a_price_although_no_basket_holds_the_product() {
        let told: BasketsRepriced = update(&mut Sandbox::new(), 2.5).only("baskets.repriced");
        assert_eq!(told.baskets, 0);
        assert_eq!(told.new_total, Decimal::ZERO);
        assert_eq!(told.revision, 1);
    }

    #[test]
    fn shows_what_it_knows_of_a_product() {
        let mut sandbox = Sandbox::new();
        update(&mut sandbox, 2.5);
        add(&mut sandbox, "b1", 2);
        let show = |id: &str| event("cmd.basket.show").json(&json!({ "productId": id }));
        let shown: Shown = sandbox.ask(basket, show("p1")).reply().unwrap().json();
        let price = Some(decimal("2.5"));
        assert_eq!(shown, Shown { product_id: "p1".to_owned(), price, baskets: 1, total: decimal("5") });
        let run = sandbox.ask(basket, show("p2"));
        assert_eq!(run.failure().unwrap().reason(), "no such product");
    }

    #[test]
    fn writes_amounts_as_json_numbers() {
        let mut sandbox = Sandbox::new();
        add(&mut sandbox, "b1", 3);
        let told: Value = update(&mut sandbox, 0.1).only("baskets.repriced");
        assert_eq!(told["newTotal"], json!(0.3));
    }

    #[test]
    fn rejects_a_type_it_has_no_rule_for() {
        let run = Sandbox::new().run(basket, event("baskets.emptied"));
        assert_eq!(run.failure().unwrap().reason(), "no rule for events of type `baskets.emptied`");
    }

    #[test]
    fn rejects_an_item_without_a_quantity() {
        let item = json!({ "basketId": "b1", "productId": "p1" });
        let run = Sandbox::new().run(basket, event("baskets.item-added").json(&item));
        let failure = run.failure().unwrap();
        assert!(failure.reason().contains("missing field `quantity`"), "{failure}");
    }
}
