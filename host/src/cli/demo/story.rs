//! What happens in the shop.

use anyhow::Result;

use super::{screen::Screen, stage::Stage};

/// Plays the story.
pub(super) async fn tell(stage: &Stage, screen: &Screen) -> Result<()> {
    for (heading, events) in chapters() {
        screen.heading(heading)?;
        for (subject, data) in events {
            screen.show(&stage.play(subject, data).await?).await?;
        }
    }
    Ok(())
}

type Chapter = (&'static str, Vec<(&'static str, String)>);

fn chapters() -> [Chapter; 5] {
    [
        ("A command comes in, an event goes out, and two handlers hear it", prices()),
        ("Baskets fill; a new price reprices them; a price that falls far gives an alert", baskets()),
        ("The agenda owns locations and events; booking keeps its own copy of them", agenda()),
        ("Booking answers from that copy and asks nobody", bookings()),
        ("An event that cannot be handled is kept as a dead letter, and holds nobody up", rejected()),
    ]
}

fn prices() -> Vec<(&'static str, String)> {
    vec![change("coffee", "5.90"), change("tea", "3.20")]
}

fn baskets() -> Vec<(&'static str, String)> {
    let item = |basket: &str, quantity: u32| {
        let data = format!(r#"{{"basketId":"{basket}","productId":"coffee","quantity":{quantity}}}"#);
        ("baskets.item-added", data)
    };
    vec![item("b1", 2), item("b2", 1), change("coffee", "4.90"), change("tea", "3.10")]
}

fn agenda() -> Vec<(&'static str, String)> {
    let location = r#"{"locationId":"hall","name":"Town hall","capacity":3}"#;
    let event = r#"{"eventId":"tasting","locationId":"hall","title":"Tea tasting"}"#;
    vec![("agenda.open-location", location.to_owned()), ("agenda.schedule-event", event.to_owned())]
}

fn bookings() -> Vec<(&'static str, String)> {
    let request = |id: &str, event: &str, seats: u32| {
        let data = format!(r#"{{"bookingId":"{id}","eventId":"{event}","seats":{seats}}}"#);
        ("bookings.requested", data)
    };
    vec![request("k1", "tasting", 2), request("k2", "tasting", 2), request("k3", "concert", 1)]
}

fn rejected() -> Vec<(&'static str, String)> {
    vec![change("coffee", "-1")]
}

fn change(product: &str, price: &str) -> (&'static str, String) {
    ("catalog.change-price", change_price(product, price))
}

/// The data of the command that changes a price.
pub(super) fn change_price(product: &str, price: &str) -> String {
    format!(r#"{{"productId":"{product}","newPrice":{price}}}"#)
}
