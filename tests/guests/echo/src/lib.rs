//! The guest of the benches: parse one event, emit one. With the setting `state = "yes"` it also reads and
//! sets one state value.

use waxwing_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Item {
    id: u64,
    name: String,
    pad: String,
}

#[waxwing_sdk::handler]
fn echo(event: Event<Item>, cx: &mut Context) -> Outcome {
    if cx.setting("state").as_deref() == Some("yes") {
        let seen: u64 = cx.state().get(event.key())?.unwrap_or_default();
        cx.state().set(event.key(), &(seen + 1))?;
    }
    let to = cx.setting("to");
    cx.emit(to.as_deref().unwrap_or("echo.out"), &event.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Sandbox, event};

    #[test]
    fn answers_with_the_same_data() {
        let data = json!({ "id": 7, "name": "n", "pad": "p" });
        let mut sandbox = Sandbox::new().setting("to", "other.out").setting("state", "yes");
        let run = sandbox.run(echo, event("echo.in").key("k").json(&data));
        assert_eq!(run.only::<Value>("other.out"), data);
        assert_eq!(sandbox.get("k"), Some(1));
    }
}
