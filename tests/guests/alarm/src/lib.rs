//! A guest that sets timers, cancels them and tells when they fire.

use waxwing_sdk::prelude::*;

#[derive(Deserialize)]
struct Wish {
    id: String,
    /// Sets the timer; none: cancels it.
    after_ms: Option<u64>,
}

#[waxwing_sdk::handler]
fn alarm(event: Event<Raw>, cx: &mut Context) -> Outcome {
    if let Some(id) = event.timer() {
        let said: Value = event.json()?;
        let count = cx.state().get::<u32>(id)?.unwrap_or_default() + 1;
        cx.state().set(id, &count)?;
        let fired =
            json!({ "id": id, "key": event.key(), "said": said, "count": count, "due": event.time() });
        return cx.emit("alarms.fired", &fired);
    }
    let Wish { id, after_ms } = event.json()?;
    match after_ms {
        Some(ms) => cx.timer(&id).json(&json!({ "for": event.id() })).after(Duration::from_millis(ms)),
        None => cx.timer(&id).cancel(),
    }
}
