//! A guest that misbehaves on request: the type of the event says how.

mod limits;
mod refusals;
mod resources;
mod wasi;

use waxwing_sdk::prelude::*;

#[waxwing_sdk::handler]
fn misbehave(event: Event<Raw>, cx: &mut Context) -> Outcome {
    match event.event_type().trim_start_matches("hostile.") {
        "healthy" => healthy(&event.json()?, cx),
        "trap" => resources::trap(),
        "panic" => resources::panic_with_a_message(),
        "spin" => resources::spin(),
        "allocate" => resources::allocate(),
        "recurse" => resources::recurse(cx),
        "exit" => std::process::exit(3),
        "env" => wasi::report(cx),
        "stderr-flood" => wasi::flood_stderr(),
        "log-flood" => limits::flood_the_log(cx),
        "emit-many" => limits::emit_until_refused(cx),
        "emit-many-ignoring" => limits::emit_and_ignore(cx),
        "emit-oversize" => refusals::emit_oversize(cx),
        "emit-elsewhere" => refusals::emit_elsewhere(cx),
        "emit-wrong-subject" => refusals::emit_wrong_subjects(cx),
        "state-oversize" => refusals::state_oversize(cx),
        "state-wrong-key" => refusals::state_wrong_keys(cx),
        "reject" => Err(Failure::reject("rejected on request")),
        "retry" => Err(Failure::retry_after(Duration::from_millis(250), "retried on request")),
        "error" => error(),
        other => Err(Failure::reject(format!("no such misbehaviour: `{other}`"))),
    }
}

/// The data of `hostile.healthy` and `hostile.done`.
#[derive(Serialize, Deserialize, Default)]
struct Healthy {
    #[serde(default)]
    n: u64,
}

fn healthy(data: &Option<Healthy>, cx: &mut Context) -> Outcome {
    let n = data.as_ref().map_or(0, |data| data.n);
    cx.emit("hostile.done", &Healthy { n })
}

fn error() -> Outcome {
    "not a number".parse::<u32>()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Run, Sandbox, event};

    fn run(event_type: &str) -> Run {
        Sandbox::new().grant("hostile.>").run(misbehave, event(event_type))
    }

    #[test]
    fn is_healthy_on_request() {
        assert_eq!(run("hostile.healthy").only::<Value>("hostile.done"), json!({ "n": 0 }));
    }

    #[test]
    fn reports_the_kinds_of_refusals() {
        let seen: Value = run("hostile.emit-elsewhere").only("hostile.seen");
        assert_eq!(seen, json!({ "kinds": ["not-granted"] }));
        let seen: Value = run("hostile.emit-wrong-subject").only("hostile.seen");
        assert_eq!(seen["kinds"], json!(vec!["invalid-subject"; 5]));
        let seen: Value = run("hostile.state-wrong-key").only("hostile.seen");
        assert_eq!(seen["kinds"], json!(["invalid-key", "invalid-key", "none", "none"]));
    }

    #[test]
    fn fails_in_each_way() {
        assert!(!run("hostile.reject").failure().unwrap().is_retry());
        assert!(run("hostile.retry").failure().unwrap().is_retry());
        assert_eq!(run("hostile.error").failure().unwrap().reason(), "invalid digit found in string");
    }
}
