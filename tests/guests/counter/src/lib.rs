//! The guest of the crash tests: counts the events of each key, so that one too many or too few shows.
//! The setting `mode` says which effects a run has: `both` (default), `state`, `emit`, `none-on-even` (both
//! for odd `n`, none at all for even), `thrice` (both, the event three times), or `forgetful` (both, but the key is
//! deleted where `n` is 0). With `fails` every so many-th `n` asks for another attempt, with `spins` no run comes to an end,
//! and with `plus` so many are added to the count that is emitted. A request is answered with the key's count; on a subject that ends with `.show` nothing is
//! counted.

use waxwing_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Item {
    key: String,
    n: u64,
}

#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
struct Count {
    count: u64,
    last: u64,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Counted {
    key: String,
    n: u64,
    count: u64,
}

#[waxwing_sdk::handler]
fn count(event: Event<Item>, cx: &mut Context) -> Outcome {
    let is_query = event.subject().ends_with(".show");
    let Item { key, n } = event.data;
    let number = |name| cx.setting(name).and_then(|number| number.parse::<u64>().ok());
    let (every, plus) = (number("fails"), number("plus").unwrap_or_default());
    if every.is_some_and(|every| n.is_multiple_of(every)) {
        return Err(Failure::retry(format!("{n} fails")));
    }
    while cx.setting("spins").is_some() {
        std::hint::spin_loop();
    }
    if is_query {
        let known: Count = cx.state().get(&key)?.unwrap_or_default();
        return cx.reply(&Counted { key, n, count: known.count });
    }
    let (state, emits) = match cx.setting("mode").as_deref() {
        None | Some("both") => (true, 1),
        Some("state") => (true, 0),
        Some("emit") => (false, 1),
        Some("none-on-even") => (n % 2 == 1, n % 2),
        Some("thrice") => (true, 3),
        Some("forgetful") if n == 0 => {
            cx.state().delete(&key)?;
            (false, 1)
        }
        Some("forgetful") => (true, 1),
        Some(other) => return Err(Failure::reject(format!("no mode `{other}`"))),
    };
    let mut count = 0;
    if state {
        let known: Count = cx.state().get(&key)?.unwrap_or_default();
        count = known.count + 1;
        cx.state().set(&key, &Count { count, last: n })?;
    }
    let counted = Counted { key, n, count: count + plus };
    for _ in 0..emits {
        cx.emit("counter.counted", &counted)?;
    }
    if cx.is_asked() {
        cx.answer().attribute("count", &count.to_string()).json(&counted).send()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use waxwing_sdk::testing::{Run, Sandbox, TestEvent, event};

    fn item(n: u64) -> TestEvent {
        event("counter.add").json(&json!({ "key": "k", "n": n }))
    }

    fn effects(sandbox: &mut Sandbox, n: u64) -> (bool, usize) {
        let before = sandbox.get::<Count>("k");
        let run: Run = sandbox.run(count, item(n));
        (sandbox.get::<Count>("k") != before, run.emitted().len())
    }

    #[test]
    fn counts_the_events_of_a_key() {
        let mut sandbox = Sandbox::new();
        sandbox.run(count, item(5));
        let counted: Counted = sandbox.run(count, item(6)).only("counter.counted");
        assert_eq!((counted.n, counted.count), (6, 2));
        assert_eq!(sandbox.get("k"), Some(Count { count: 2, last: 6 }));
    }

    #[test]
    fn answers_a_request_with_the_count() {
        let mut sandbox = Sandbox::new();
        sandbox.run(count, item(1));
        let counted = Counted { key: "k".into(), n: 2, count: 2 };
        assert_eq!(sandbox.ask(count, item(2)).reply().unwrap().json::<Counted>(), counted);
        let run = sandbox.ask(count, item(2).subject("cmd.count.show"));
        assert_eq!(run.reply().unwrap().json::<Counted>(), counted);
        assert!(run.emitted().is_empty());
    }

    #[test]
    fn fails_and_miscounts_as_its_settings_say() {
        let mut sandbox = Sandbox::new().setting("fails", "5").setting("plus", "100");
        assert!(sandbox.run(count, item(5)).failure().is_some());
        assert_eq!(sandbox.run(count, item(6)).only::<Counted>("counter.counted").count, 101);
    }

    #[test]
    fn has_the_effects_that_the_mode_says() {
        let sandbox = |mode| Sandbox::new().setting("mode", mode);
        assert_eq!(effects(&mut sandbox("state"), 1), (true, 0));
        assert_eq!(effects(&mut sandbox("emit"), 1), (false, 1));
        assert_eq!(effects(&mut sandbox("none-on-even"), 1), (true, 1));
        assert_eq!(effects(&mut sandbox("none-on-even"), 2), (false, 0));
        assert_eq!(effects(&mut sandbox("thrice"), 2), (true, 3));
        let mut forgetful = sandbox("forgetful");
        assert_eq!(effects(&mut forgetful, 1), (true, 1));
        assert_eq!((effects(&mut forgetful, 0), forgetful.get::<Count>("k")), ((true, 1), None));
    }
}
