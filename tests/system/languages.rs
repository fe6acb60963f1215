//! Handlers in other languages: the same events, the same results, on a real server.

use serde_json::{Value, json};
use waxwing_event::outcome::FailureKind;

use crate::app::{App, Input};

/// The shop's `price-watch` in each language.
const WATCHES: [&str; 3] = ["price-watch", "price-watch-js", "price-watch-py"];

fn manifest() -> String {
    let mut manifest = "[app]\nname = \"languages\"\nevents = [\"prices.>\", \"alerts.>\"]\n".to_owned();
    for name in WATCHES {
        manifest.push_str(&format!(
            r#"
[handlers.{name}]
module = "{name}.wasm"
on = ["prices.updated"]
deadline = "20s"
on-exhausted = "dead-letter-event"
outage = {{ after = 0 }}

[handlers.{name}.grants]
emit = ["alerts.price-dropped"]
settings = {{ percent = "20" }}
"#
        ));
    }
    manifest
}

fn price(id: &str, old: Value, new: f64) -> Input {
    Input::new("prices.updated", id, &json!({ "productId": id, "oldPrice": old, "newPrice": new }))
}

/// What a handler has told: products and by how much their prices fell.
fn told(events: &[waxwing_event::Event], handler: &str) -> Vec<(String, f64)> {
    let source = format!("/languages/{handler}");
    let of = events.iter().filter(|event| event.source == source);
    let told = of.map(|event| {
        assert_eq!(event.content_type.as_deref(), Some("application/json"));
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        (data["productId"].as_str().unwrap().to_owned(), data["percent"].as_f64().unwrap())
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs npm, and some 400 MB of packages: `cargo test --workspace --test system -- --ignored languages`"]
async fn the_same_handler_in_three_languages_does_the_same() {
    let manifest = tokio::task::spawn_blocking(|| {
        // Built before anything waits for it.
        WATCHES.iter().for_each(|name| drop(crate::app::module(name)));
        manifest()
    });
    let app = App::new(&manifest.await.unwrap()).await;
    // Compiles them, which takes long: the host finds the code in its cache.
    app.run(&["check"]).await;
    let host = app.host().await;
    let mut inputs = vec![
        price("half", json!(10), 5.0),
        price("third", json!(3), 2.0),
        price("tenth", json!(10), 9.0),
        price("first", Value::Null, 9.0),
        price("dearer", json!(1), 2.0),
        price("free", json!(0), 2.0),
    ];
    inputs.push(Input {
        subject: "prices.updated".to_owned(),
        id: "broken".to_owned(),
        data: "no JSON".into(),
    });
    let last = app.publish(&inputs).await;
    for handler in WATCHES {
        app.handled(handler, last).await;
    }
    let outcome = app.result().await;
    let said = app.host_log();
    for handler in WATCHES {
        let expected = [("half".to_owned(), 50.0), ("third".to_owned(), 33.33)];
        assert_eq!(told(&outcome.emitted, handler), expected, "{handler}\n{said}");
        let dead = outcome.dead.iter().filter(|letter| letter.about.original.handler.as_str() == handler);
        let mut dead: Vec<_> = dead
            .map(|letter| {
                assert_eq!(letter.about.kind, FailureKind::Reject, "{:?}", letter.about);
                (letter.about.original.event_id.clone().unwrap(), letter.about.reason.clone())
            })
            .collect();
        dead.sort();
        assert_eq!(dead.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["broken", "free"]);
        assert!(dead[1].1.starts_with("the old price is zero"), "{handler}: {dead:?}");
    }
    assert!(host.stop().await);
}
