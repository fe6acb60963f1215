//! A guest that keeps its state where it is lost: in the memory of its instance. By `instance = "reuse"` it seems to work
//! for as long as the instance lives.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use waxwing_sdk::prelude::*;

static COUNT: AtomicU64 = AtomicU64::new(0);

#[waxwing_sdk::handler]
fn hoarder(event: Event<Value>, cx: &mut Context) -> Outcome {
    let count = COUNT.fetch_add(1, Relaxed) + 1;
    // An event that has no effect leaves nothing in the log, either.
    if event.data.get("silent") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    cx.emit("counts.counted", &json!({ "count": count }))
}
