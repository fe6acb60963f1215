//! An app of counters: each handler counts the events of each key in its own way, so that one run too many or
//! too few shows.

use rand::{Rng, rngs::StdRng};
use serde_json::json;
use waxwing_event::Position;

use crate::app::{self, App, Backing, Input};

/// The same module with both forms of commit: several entries, one entry, and none at times.
pub const COUNTERS: &str = r#"
[app]
name = "crash"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.both]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.both.grants]
emit = ["counter.counted"]

[handlers.some]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.some.grants]
emit = ["counter.counted"]
settings = { mode = "none-on-even" }

[handlers.state]
module = "counter.wasm"
on = ["in.>"]
key = "data.key"

[handlers.state.grants]
settings = { mode = "state" }

[handlers.emit]
module = "counter.wasm"
on = ["in.>"]

[handlers.emit.grants]
emit = ["counter.counted"]
settings = { mode = "emit" }
"#;

pub const HANDLERS: [&str; 4] = ["both", "some", "state", "emit"];

/// Inputs from number `from` on, over twenty keys.
pub fn inputs(random: &mut StdRng, from: u64, many: u64) -> Vec<Input> {
    let mut input = |n: u64| {
        let data = json!({ "key": format!("k{}", random.random_range(0..20)), "n": n });
        Input::new("in.item", format!("in-{n}"), &data)
    };
    (from..from + many).map(&mut input).collect()
}

/// Waits until all is handled; outputs and states are those of an undisturbed run.
pub async fn settled<B: Backing>(app: &App<B>, last: Position, inputs: &[Input]) {
    for handler in HANDLERS {
        app.handled(handler, last).await;
    }
    app.result().await.assert_same(&app::undisturbed(COUNTERS, &HANDLERS, inputs).await);
}
