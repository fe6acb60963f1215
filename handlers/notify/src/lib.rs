//! **Notification events and command events.** A notification event says that something has happened and
//! little more: whoever cares decides what follows. A command event says what somebody wants done, and has
//! one receiver. Here both end in a message to the customer. The handler keeps nothing: each event is handled
//! once, so each message is told once.

use waxwing_sdk::prelude::*;

/// What happened to an order; more is not needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    order_id: String,
    reason: Option<String>,
}

/// The command to tell something.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    order_id: String,
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    order_id: String,
    text: String,
}

#[waxwing_sdk::handler]
fn notify(event: Event<Raw>, cx: &mut Context) -> Outcome {
    let sent = match event.event_type() {
        "notifications.send" => {
            let Send { order_id, text } = event.json()?;
            Sent { order_id, text }
        }
        what => {
            let Notification { order_id, reason } = event.json()?;
            Sent { text: text(what, &order_id, reason.as_deref())?, order_id }
        }
    };
    cx.emit("notifications.sent", &sent)
}

fn text(what: &str, order_id: &str, reason: Option<&str>) -> Result<String, Failure> {
    Ok(match (what, reason) {
        ("orders.confirmed", _) => format!("Your order {order_id} is confirmed."),
        ("orders.cancelled", Some(reason)) => format!("Your order {order_id} is cancelled: {reason}."),
        ("orders.cancelled", None) => format!("Your order {order_id} is cancelled."),
        ("shipments.scheduled", _) => format!("Your order {order_id} is on its way."),
        _ => return Err(Failure::reject(format!("no rule for events of type `{what}`"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, event};

    fn told(event_type: &str, data: Value, text: &str) {
        Scenario::of(notify)
            .when(event(event_type).json(&data))
            .then_emits([("notifications.sent", json!({ "orderId": "o1", "text": text }))]);
    }

    #[test]
    fn tells_what_happened() {
        let order = json!({ "orderId": "o1", "amount": 9.9 });
        told("orders.confirmed", order.clone(), "Your order o1 is confirmed.");
        told("shipments.scheduled", order, "Your order o1 is on its way.");
        let cancelled = json!({ "orderId": "o1", "reason": "sold out" });
        told("orders.cancelled", cancelled, "Your order o1 is cancelled: sold out.");
    }

    #[test]
    fn tells_what_it_is_asked_to() {
        told("notifications.send", json!({ "orderId": "o1", "text": "Thank you." }), "Thank you.");
    }

    #[test]
    fn rejects_what_it_has_no_words_for() {
        let event = event("orders.placed").json(&json!({ "orderId": "o1" }));
        Scenario::of(notify).when(event).then_fails("no rule for events of type `orders.placed`");
    }
}
