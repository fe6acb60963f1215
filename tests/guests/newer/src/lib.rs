//! A guest of a newer contract: `waxwing:events@0.2.0`, where an event has one field more and the handler
//! has a `describe` function. A host of 0.1 must refuse it, and say why.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated code")]

wit_bindgen::generate!({ path: "wit", world: "event-handler" });

use exports::waxwing::events::handler::{Event, Failure, Guest};
use waxwing::events::emit;

struct Newer;

impl Guest for Newer {
    fn handle(event: Event) -> Result<(), Failure> {
        let taken = emit::emit(&emit::NewEvent {
            subject: "newer.done".to_owned(),
            priority: event.priority,
            data: event.data,
        });
        taken.map_err(|()| Failure::Reject("not taken".to_owned()))
    }

    fn describe() -> String {
        "a guest of a newer contract".to_owned()
    }
}

export!(Newer);
