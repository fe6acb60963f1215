//! **Command in, event out.** Someone wants a price changed; the catalog decides, and says what has
//! happened as an event in the past tense: `prices.updated`. The price in the handler's state and the
//! event that tells of it are one transaction, so no one ever hears of a price that was not kept, and no
//! kept price goes untold. The manifest keys the handler by product: two changes of one product never run
//! side by side.

use rust_decimal::Decimal;
use waxwing_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangePrice {
    product_id: String,
    new_price: Decimal,
    currency: Option<String>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct PriceUpdated {
    product_id: String,
    /// None for a product that had no price yet.
    old_price: Option<Decimal>,
    new_price: Decimal,
    currency: String,
}

/// What the catalog keeps of a product.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Price {
    amount: Decimal,
    currency: String,
}

#[waxwing_sdk::handler]
fn change_price(event: Event<ChangePrice>, cx: &mut Context) -> Outcome {
    let command = event.data;
    if command.new_price <= Decimal::ZERO {
        return Err(Failure::reject(format!(
            "price {} of product `{}` is not positive",
            command.new_price, command.product_id
        )));
    }

    let old: Option<Price> = cx.state().get(&command.product_id)?;
    let new = Price { amount: command.new_price, currency: currency(command.currency, old.as_ref(), cx) };
    if old.as_ref() == Some(&new) {
        return Ok(()); // nothing has happened, so there is nothing to tell
    }

    cx.state().set(&command.product_id, &new)?;
    cx.emit(
        "prices.updated",
        &PriceUpdated {
            product_id: command.product_id,
            old_price: old.map(|price| price.amount),
            new_price: new.amount,
            currency: new.currency,
        },
    )
}

/// The command's currency, else the product's, else the shop's.
fn currency(asked: Option<String>, old: Option<&Price>, cx: &Context) -> String {
    asked
        .or_else(|| old.map(|price| price.currency.clone()))
        .or_else(|| cx.setting("currency"))
        .unwrap_or_else(|| "EUR".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Run, Sandbox, event};

    fn change(sandbox: &mut Sandbox, price: &str) -> Run {
        let command =
            ChangePrice { product_id: "p1".to_owned(), new_price: price.parse().unwrap(), currency: None };
        sandbox.run(change_price, event("catalog.change-price").json(&command))
    }

    #[test]
    fn tells_the_old_and_the_new_price() {
        let mut sandbox = Sandbox::new().setting("currency", "CHF");
        let first: PriceUpdated = change(&mut sandbox, "9.90").only("prices.updated");
        assert_eq!(first.old_price, None);
        assert_eq!(first.currency, "CHF");

        let second: PriceUpdated = change(&mut sandbox, "8.50").only("prices.updated");
        assert_eq!(second.old_price, Some("9.90".parse().unwrap()));
        assert_eq!(second.new_price, "8.50".parse().unwrap());
    }

    #[test]
    fn does_nothing_when_the_price_stays() {
        let mut sandbox = Sandbox::new();
        change(&mut sandbox, "9.90");
        let run = change(&mut sandbox, "9.9");
        assert!(run.is_done());
        assert!(run.emitted().is_empty());
    }

    #[test]
    fn rejects_a_price_that_is_not_positive() {
        for price in ["0", "-1"] {
            let mut sandbox = Sandbox::new();
            let run = change(&mut sandbox, price);
            let failure = run.failure().unwrap();
            assert!(!failure.is_retry());
            assert_eq!(failure.reason(), format!("price {price} of product `p1` is not positive"));
            assert_eq!(sandbox.keys(), Vec::<String>::new());
        }
    }

    #[test]
    fn keeps_the_currency_of_the_command() {
        let command = json!({ "productId": "p1", "newPrice": 5, "currency": "USD" });
        let mut sandbox = Sandbox::new();
        sandbox.run(change_price, event("catalog.change-price").json(&command));
        let price: Price = sandbox.get("p1").unwrap();
        assert_eq!(price.currency, "USD");
    }
}
