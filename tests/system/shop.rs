//! The shop as a newcomer meets it: one event with many consumers, and bookings from a copy of one's own.

use serde_json::{Value, json};

use crate::{
    app::{App, Input, Outcome},
    failing::until,
};

const SHOP: &str = r#"
[app]
name = "shop"
events = ["catalog.>", "prices.>", "baskets.>", "alerts.>"]

[handlers.catalog]
module = "catalog.wasm"
on = ["catalog.change-price"]
key = "data.productId"

[handlers.catalog.grants]
emit = ["prices.updated"]

[handlers.basket]
module = "basket.wasm"
on = ["baskets.item-added", "prices.updated"]
key = "data.productId"

[handlers.basket.grants]
emit = ["baskets.repriced"]

[handlers.price-watch]
module = "price-watch.wasm"
on = ["prices.updated"]
key = "data.productId"

[handlers.price-watch.grants]
emit = ["alerts.price-dropped"]
"#;

fn emitted<'a>(outcome: &'a Outcome, subject: &'a str) -> impl Iterator<Item = (&'a str, Value)> {
    let of = outcome.emitted.iter().filter(move |event| event.subject.as_str() == subject);
    of.map(|event| (event.correlation_id.as_str(), serde_json::from_slice(&event.data).unwrap()))
}

fn price(id: &str, price: f64) -> Input {
    Input::new("catalog.change-price", id, &json!({ "productId": "p1", "newPrice": price }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_price_reaches_two_subscribers() {
    let app = App::new(SHOP).await;
    let host = app.host().await;
    let item = json!({ "basketId": "b1", "productId": "p1", "quantity": 2 });
    let mut last = app.publish(&[Input::new("baskets.item-added", "i1", &item), price("c1", 10.0)]).await;
    app.handled("catalog", last).await;
    last = app.publish(&[price("c2", 8.0), price("c3", -1.0)]).await;
    app.handled("catalog", last).await;
    let prices = emitted(&app.result().await, "prices.updated").count();
    assert_eq!(prices, 2);
    let end = app.log().await;
    let end = waxwing_engine::port::Log::bounds(&end).await.unwrap().last;
    let last_price = app
        .result()
        .await
        .emitted
        .iter()
        .filter(|e| e.subject.as_str() == "prices.updated")
        .map(|e| e.position)
        .max();
    app.handled("basket", last_price.unwrap()).await;
    app.handled("price-watch", last_price.unwrap()).await;
    assert!(host.stop().await);
    let outcome = app.result().await;
    assert!(end.0 > 0);
    let totals: Vec<_> = emitted(&outcome, "baskets.repriced")
        .map(|(c, data)| (c.to_owned(), data["newTotal"].as_f64()))
        .collect();
    assert_eq!(totals, [("c1".to_owned(), Some(20.0)), ("c2".to_owned(), Some(16.0))]);
    let alerts: Vec<_> =
        emitted(&outcome, "alerts.price-dropped").map(|(correlation, _)| correlation).collect();
    assert_eq!(alerts, ["c2"]);
    let reasons: Vec<_> = outcome.dead.iter().map(|letter| letter.about.reason.as_str()).collect();
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("src/lib.rs"), "the reason names file and line: {reasons:?}");
}

const AGENDA: &str = r#"
[handlers.agenda]
module = "agenda.wasm"
on = ["agenda.open-location", "agenda.schedule-event"]
key = "data.locationId"

[handlers.agenda.grants]
emit = ["agenda.location-opened", "agenda.event-scheduled"]
"#;

const BOOKING: &str = r#"
[app]
name = "bookings"
events = ["agenda.>", "bookings.>"]

[handlers.booking]
module = "booking.wasm"
on = ["agenda.location-opened", "agenda.event-scheduled", "bookings.requested"]
key = ["data.eventId", "data.locationId"]

[handlers.booking.grants]
emit = ["bookings.confirmed", "bookings.refused"]
"#;

fn booking(id: &str, event: &str, seats: u32) -> Input {
    Input::new("bookings.requested", id, &json!({ "bookingId": id, "eventId": event, "seats": seats }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookings_go_on_from_the_local_copy_while_the_event_service_is_down() {
    let app = App::new(&format!("{BOOKING}{AGENDA}")).await;
    let host = app.host().await;
    let open = json!({ "locationId": "hall", "name": "Hall", "capacity": 100 });
    let schedule = json!({ "locationId": "hall", "eventId": "e1", "title": "Concert" });
    let told = [
        Input::new("agenda.open-location", "a1", &open),
        Input::new("agenda.schedule-event", "a2", &schedule),
    ];
    let last = app.publish(&told).await;
    app.handled("agenda", last).await;
    let told = app.result().await.emitted.iter().map(|event| event.position).max().unwrap();
    app.handled("booking", told).await;
    assert!(host.stop().await);

    // From here on there is no event service.
    std::fs::write(app.path().join("waxwing.toml"), BOOKING).unwrap();
    let host = app.host().await;
    let requests: Vec<Input> =
        (0..30).map(|n| booking(&format!("b{n}"), "e1", 4)).chain([booking("unknown", "e2", 1)]).collect();
    let commands = [Input::new(
        "agenda.schedule-event",
        "a3",
        &json!({ "locationId": "hall", "eventId": "e2", "title": "Play" }),
    )];
    app.publish(&commands).await;
    let last = app.publish(&requests).await;
    app.handled("booking", last).await;
    assert!(host.stop().await);
    let outcome = app.result().await;
    assert_eq!(emitted(&outcome, "bookings.confirmed").count(), 25, "25 times 4 seats are 100");
    assert_eq!(emitted(&outcome, "bookings.refused").count(), 6);
    assert_eq!(outcome.dead, []);

    // It is back, does what it was told meanwhile, and the copy catches up.
    std::fs::write(app.path().join("waxwing.toml"), format!("{BOOKING}{AGENDA}")).unwrap();
    let host = app.host().await;
    until(&app, async || emitted(&app.result().await, "agenda.event-scheduled").count() == 2).await;
    let last = app.publish(&[booking("late", "e2", 1)]).await;
    app.handled("booking", last).await;
    assert_eq!(emitted(&app.result().await, "bookings.confirmed").count(), 26);
    assert!(host.stop().await);
}
