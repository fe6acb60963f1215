//! **A reaction with memory.** The handler hears of a guest, remembers how often it has seen that
//! guest, and tells what it has done in an event of its own.
//!
//! One run is a transaction: the new count, the emitted event and the mark that the input was
//! handled are written in one step, or none of them is. So a guest is never counted twice, whatever
//! is killed meanwhile.

use waxwing_sdk::prelude::*;

/// What `{{ name }}.greet` says.
#[derive(Deserialize)]
struct Greet {
    guest: String,
}

#[waxwing_sdk::handler]
fn greet(event: Event<Greet>, cx: &mut Context) -> Outcome {
    let guest = event.data.guest;
    if guest.is_empty() {
        // No attempt helps here, so the event goes to the dead letters at once.
        return Err(Failure::reject("a guest has no name"));
    }
    // Errors at a `?` ask for another attempt.
    let visits = cx.state().get::<u32>(&guest)?.unwrap_or_default() + 1;
    cx.state().set(&guest, &visits)?;
    let greeting = cx.setting("greeting").unwrap_or_else(|| "Hello".to_owned());
    let text = match visits {
        1 => format!("{greeting}, {guest}!"),
        _ => format!("Good to see you again, {guest}!"),
    };
    let greeted = json!({ "guest": guest, "text": text, "visits": visits });
    cx.emit("{{ name }}.greeted", &greeted)
}

// `cargo test` runs the function, `waxwing test` the module, as a host does.
#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Scenario, TestEvent, event};

    fn guest(name: &str) -> TestEvent {
        event("{{ name }}.greet")
            .key(name)
            .json(&json!({ "guest": name }))
    }

    #[test]
    fn greets_who_is_new() {
        let greeted = json!({ "guest": "Ada", "text": "Hello, Ada!", "visits": 1 });
        Scenario::of(greet)
            .when(guest("Ada"))
            .then_emits([("{{ name }}.greeted", greeted)])
            .then_state("Ada", &1);
    }

    #[test]
    fn knows_who_was_here() {
        let greeted = json!({ "guest": "Ada", "text": "Good to see you again, Ada!", "visits": 2 });
        Scenario::of(greet)
            .given([guest("Ada"), guest("Grace")])
            .when(guest("Ada"))
            .then_emits([("{{ name }}.greeted", greeted)]);
    }

    #[test]
    fn rejects_who_has_no_name() {
        Scenario::of(greet)
            .when(guest(""))
            .then_fails("a guest has no name")
            .then_no_state("");
    }
}
