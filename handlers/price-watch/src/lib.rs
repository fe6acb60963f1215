//! **One event, many consumers.** This handler hears the same `prices.updated` as the basket. Neither
//! knows of the other, and the catalog knows of neither: who wants to react to a price adds a handler and
//! changes no other. It keeps no state, because the event carries both prices. How far a price must fall
//! is a setting in the manifest, so that it can be changed without a build.

use rust_decimal::Decimal;
use waxwing_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceUpdated {
    product_id: String,
    old_price: Option<Decimal>,
    new_price: Decimal,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct PriceDropped {
    product_id: String,
    old_price: Decimal,
    new_price: Decimal,
    /// By how much the price fell, to two places.
    percent: Decimal,
}

#[waxwing_sdk::handler]
fn watch(event: Event<PriceUpdated>, cx: &mut Context) -> Outcome {
    let update = event.data;
    let threshold = cx.setting_as("percent")?.unwrap_or(Decimal::TEN);
    let Some(old_price) = update.old_price else {
        return Ok(()); // a first price cannot have dropped
    };
    let fell = percent_fallen(old_price, update.new_price).or_reject("the old price is zero")?;
    if fell < threshold {
        return Ok(());
    }
    cx.emit(
        "alerts.price-dropped",
        &PriceDropped {
            product_id: update.product_id,
            old_price,
            new_price: update.new_price,
            percent: fell.round_dp(2),
        },
    )
}

/// Negative when the price rose; none when it cannot be told.
fn percent_fallen(old: Decimal, new: Decimal) -> Option<Decimal> {
    (old - new).checked_mul(Decimal::ONE_HUNDRED)?.checked_div(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Run, Sandbox, event};

    fn update(sandbox: &mut Sandbox, old: impl Serialize, new: f64) -> Run {
        let update = json!({ "productId": "p1", "oldPrice": old, "newPrice": new });
        sandbox.run(watch, event("prices.updated").json(&update))
    }

    #[test]
    fn alerts_when_the_price_falls_by_the_default_or_more() {
        let mut sandbox = Sandbox::new();
        assert!(update(&mut sandbox, 100, 90.01).emitted().is_empty());
        let alert: PriceDropped = update(&mut sandbox, 100, 90.0).only("alerts.price-dropped");
        assert_eq!(alert.percent, Decimal::TEN);
    }

    #[test]
    fn takes_the_threshold_from_the_settings() {
        let mut sandbox = Sandbox::new().setting("percent", "33.33");
        assert!(update(&mut sandbox, 3, 2.1).emitted().is_empty());
        let alert: PriceDropped = update(&mut sandbox, 3, 2.0).only("alerts.price-dropped");
        assert_eq!(alert.percent, "33.33".parse().unwrap());
    }

    #[test]
    fn keeps_quiet_about_first_and_rising_prices() {
        let mut sandbox = Sandbox::new();
        assert!(update(&mut sandbox, Value::Null, 1.0).emitted().is_empty());
        assert!(update(&mut sandbox, 1, 2.0).emitted().is_empty());
    }

    #[test]
    fn rejects_what_it_cannot_compare() {
        let zero = update(&mut Sandbox::new(), 0, 1.0);
        assert_eq!(zero.failure().unwrap().reason(), "the old price is zero");
        let wrong = update(&mut Sandbox::new().setting("percent", "ten"), 2, 1.0);
        assert!(wrong.failure().unwrap().reason().starts_with("setting `percent` is `ten`"));
    }
}
