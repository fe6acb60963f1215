//! **Questions and answers.** The handler learns prices from events, and answers who asks for one.
//! It asks no one itself: what it knows is what it has heard, so it answers at once, also where
//! whoever sets prices is down.
//!
//! A question is a request on a NATS subject outside the log. A run that only reads writes nothing
//! at all.

use waxwing_sdk::prelude::*;

/// What `{{ name }}.set` says.
#[derive(Deserialize)]
struct PriceSet {
    product: String,
    /// In cents.
    price: u64,
}

/// What is asked on `cmd.{{ name }}.show`.
#[derive(Deserialize)]
struct Show {
    product: String,
}

/// The answer.
#[derive(Serialize)]
struct Shown {
    product: String,
    price: u64,
}

#[waxwing_sdk::handler]
fn prices(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type() {
        "{{ name }}.set" => learn(event.json()?, cx),
        "cmd.{{ name }}.show" => show(event.json()?, cx),
        other => Err(Failure::reject(format!("no rule for `{other}`"))),
    }
}

fn learn(set: PriceSet, cx: &mut Context) -> Outcome {
    cx.state().set(&set.product, &set.price)?;
    Ok(())
}

fn show(Show { product }: Show, cx: &mut Context) -> Outcome {
    let known: Option<u64> = cx.state().get(&product)?;
    // Whoever asks hears the reason of a rejection.
    let price = known.or_reject("no such product")?;
    cx.reply(&Shown { product, price })
}

// `cargo test` runs the function, `waxwing test` the module, as a host does.
#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, TestEvent, event};

    fn set(price: u64) -> TestEvent {
        event("{{ name }}.set")
            .key("tea")
            .json(&json!({ "product": "tea", "price": price }))
    }

    fn show(product: &str) -> TestEvent {
        event("cmd.{{ name }}.show")
            .key(product)
            .json(&json!({ "product": product }))
    }

    #[test]
    fn answers_with_the_last_price() {
        Scenario::of(prices)
            .given([set(300), set(320)])
            .when_request(show("tea"))
            .then_replies(&json!({ "product": "tea", "price": 320 }))
            .then_emits_nothing();
    }

    #[test]
    fn says_what_it_does_not_know() {
        Scenario::of(prices)
            .given([set(300)])
            .when_request(show("coffee"))
            .then_fails("no such product");
    }
}
