//! Given, when, then.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{Run, Sandbox, TestEvent, module};
use crate::{Context, Data, Event, Outcome};

/// What a handler has heard, what happens now, and what must come of it.
///
/// `waxwing test` runs the same scenarios on the module that is compiled from the handler, as a host would; there it
/// matters not which function [`Scenario::of`] names.
///
/// A step of the kind `when` may follow a `then`; each `then` looks at the last `when`.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::{Scenario, event};
///
/// fn count(event: Event<Value>, cx: &mut Context) -> Outcome {
///     let count = cx.state().get::<u32>(event.key())?.unwrap_or_default() + 1;
///     cx.state().set(event.key(), &count)?;
///     if count % 2 == 0 { cx.emit("visits.paired", &count) } else { Ok(()) }
/// }
///
/// let visit = || event("pages.visited").key("home");
/// Scenario::of(count)
///     .given([visit(), visit()])
///     .when(visit())
///     .then_emits_nothing()
///     .when(visit())
///     .then_emits([("visits.paired", json!(4))])
///     .then_state("home", &4);
/// ```
#[derive(Debug)]
pub struct Scenario<T> {
    handler: fn(Event<T>, &mut Context) -> Outcome,
    sandbox: Sandbox,
    runs: Vec<Run>,
    /// Where a host runs the handler's module; none: the function runs here.
    module: Option<String>,
}

impl<T: Data> Scenario<T> {
    /// A scenario of a handler that has heard nothing.
    #[must_use = "a scenario asserts nothing until a `then`"]
    pub fn of(handler: fn(Event<T>, &mut Context) -> Outcome) -> Self {
        Self { handler, sandbox: Sandbox::new(), runs: Vec::new(), module: module::address() }
    }

    /// The settings, grants and state that the handler finds.
    #[must_use = "a scenario asserts nothing until a `then`"]
    pub fn within(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// What the handler has heard before. Its effects are forgotten, but for state and timers.
    ///
    /// # Panics
    /// When one of the runs fails.
    #[track_caller]
    #[must_use = "a scenario asserts nothing until a `then`"]
    pub fn given(mut self, events: impl IntoIterator<Item = TestEvent>) -> Self {
        for (i, event) in events.into_iter().enumerate() {
            let event_type = event.record.type_.clone();
            if let Some(failure) = self.run(event, false).failure() {
                panic!("given event {} (`{event_type}`) failed: {failure}", i + 1);
            }
        }
        self.runs.clear();
        self
    }

    /// What has happened to an aggregate before, behind what has.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    /// use waxwing_sdk::testing::{Sandbox, Scenario, event};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Light {
    ///     is_on: bool,
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// #[serde(tag = "type", content = "data", rename_all = "kebab-case")]
    /// enum Change {
    ///     Turned { on: bool },
    /// }
    ///
    /// impl Aggregate for Light {
    ///     type Command = ();
    ///     type Event = Change;
    ///     type Refusal = ();
    ///
    ///     fn decide(&self, (): ()) -> Result<Vec<Change>, ()> {
    ///         Ok(vec![Change::Turned { on: !self.is_on }])
    ///     }
    ///
    ///     fn evolve(&mut self, Change::Turned { on }: Change) {
    ///         self.is_on = on;
    ///     }
    /// }
    ///
    /// #[waxwing_sdk::handler(aggregate = Light)]
    /// fn press(event: Event<()>, cx: &mut Context) -> Outcome {
    ///     let decided = cx.aggregate::<Light>(event.key())?.decide(())?;
    ///     decided.map_err(|()| Failure::reject("the light is stuck"))
    /// }
    ///
    /// Scenario::of(press)
    ///     .within(Sandbox::new().histories_on("lights"))
    ///     .given_history("hall", &[Change::Turned { on: true }])
    ///     .when(event("lights-pressed").key("hall"))
    ///     .then_emits([("lights.hall", json!({ "on": false }))]);
    /// ```
    ///
    /// # Panics
    /// When an event is none that a history can hold.
    #[must_use = "a scenario asserts nothing until a `then`"]
    pub fn given_history(mut self, id: &str, events: &[impl Serialize]) -> Self {
        self.sandbox = self.sandbox.past(id, events);
        self
    }

    /// An event arrives.
    #[must_use = "a scenario asserts nothing until a `then`"]
    pub fn when(mut self, event: TestEvent) -> Self {
        self.runs = vec![self.run(event, false)];
        self
    }

    /// A request arrives.
    #[must_use = "a scenario asserts nothing until a `then`"]
    pub fn when_request(mut self, event: TestEvent) -> Self {
        self.runs = vec![self.run(event, true)];
        self
    }

    /// Time passes, and the timers that are due meanwhile fire.
    #[must_use = "a scenario asserts nothing until a `then`"]
    pub fn when_time_passes(mut self, time: Duration) -> Self {
        let (handler, module) = (self.handler, self.module.clone());
        self.runs = self.sandbox.pass_by(time, |sandbox, id, event| match &module {
            Some(address) => module::run(address, &mut sandbox.host, &event, Some(id), false),
            None => sandbox.run(handler, event),
        });
        self
    }

    /// Exactly these events are emitted, in this order, each with its subject and data.
    ///
    /// # Panics
    /// When others are, or the run fails.
    #[track_caller]
    pub fn then_emits<'a>(self, expected: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        self.assert_done();
        let expected = expected.into_iter().map(|(subject, data)| (subject.to_owned(), data)).collect();
        let emitted = self.runs.iter().flat_map(Run::emitted);
        let emitted = emitted.map(|event| (event.subject.clone(), shown(&event.data))).collect();
        if let Some(difference) = difference(&expected, &emitted) {
            panic!("other events were emitted (- expected, + emitted):\n{difference}");
        }
        self
    }

    /// The run is done and emits nothing.
    ///
    /// # Panics
    /// When it emits an event, or fails.
    #[track_caller]
    pub fn then_emits_nothing(self) -> Self {
        self.then_emits([])
    }

    /// The run replies with this data.
    ///
    /// # Panics
    /// When it replies with other data or not at all, or fails.
    #[track_caller]
    pub fn then_replies(self, expected: &(impl Serialize + ?Sized)) -> Self {
        self.assert_done();
        let reply = self.runs.iter().find_map(Run::reply).map(|reply| shown(&reply.data));
        assert_same("the reply", Some(as_value(expected)), reply);
        self
    }

    /// The run fails, for a reason that contains this text.
    ///
    /// # Panics
    /// When no run fails, or none for that reason.
    #[track_caller]
    pub fn then_fails(self, reason: &str) -> Self {
        let failures: Vec<_> = self.runs.iter().filter_map(Run::failure).collect();
        if !failures.iter().any(|failure| failure.reason().contains(reason)) {
            let reasons: Vec<_> = failures.iter().map(|failure| failure.reason()).collect();
            panic!("expected a failure for the reason `{reason}`, found {reasons:?}");
        }
        self
    }

    /// The state has this value under this key.
    ///
    /// # Panics
    /// When it has another or none.
    #[track_caller]
    pub fn then_state(self, key: &str, expected: &(impl Serialize + ?Sized)) -> Self {
        assert_same(&format!("state `{key}`"), Some(as_value(expected)), self.sandbox.get(key));
        self
    }

    /// The state has no value under this key.
    ///
    /// # Panics
    /// When it has one.
    #[track_caller]
    pub fn then_no_state(self, key: &str) -> Self {
        assert_same(&format!("state `{key}`"), None, self.sandbox.get(key));
        self
    }

    /// Exactly these timers are set, by their ids in their order.
    ///
    /// # Panics
    /// When others are.
    #[track_caller]
    pub fn then_timers<'a>(self, expected: impl IntoIterator<Item = &'a str>) -> Self {
        let expected: Vec<_> = expected.into_iter().collect();
        let set: Vec<_> = self.sandbox.timers().keys().collect();
        if set != expected {
            panic!("other timers are set:\n- {expected:?}\n+ {set:?}");
        }
        self
    }

    /// What is left, to look at what no `then` says.
    #[must_use]
    pub fn sandbox(self) -> Sandbox {
        self.sandbox
    }

    fn run(&mut self, event: TestEvent, is_asked: bool) -> Run {
        match &self.module {
            Some(address) => module::run(address, &mut self.sandbox.host, &event, None, is_asked),
            None if is_asked => self.sandbox.ask(self.handler, event),
            None => self.sandbox.run(self.handler, event),
        }
    }

    #[track_caller]
    fn assert_done(&self) {
        if let Some(failure) = self.runs.iter().find_map(Run::failure) {
            panic!("the run failed: {failure}");
        }
    }
}

type Told = (String, Value);

/// A line an event, those that differ in pairs; none when nothing differs.
fn difference(expected: &Vec<Told>, emitted: &Vec<Told>) -> Option<String> {
    if expected == emitted {
        return None;
    }
    let mut text = String::new();
    for i in 0..expected.len().max(emitted.len()) {
        let (wanted, found) = (expected.get(i), emitted.get(i));
        let lines =
            if wanted == found { [(' ', wanted), (' ', None)] } else { [('-', wanted), ('+', found)] };
        for (sign, told) in lines {
            if let Some((subject, data)) = told {
                let _ = writeln!(text, "{sign} {subject} {data}");
            }
        }
    }
    Some(text)
}

#[track_caller]
fn assert_same(what: &str, expected: Option<Value>, found: Option<Value>) {
    if expected != found {
        let shown =
            |value: Option<Value>| value.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
        panic!("{what} is another:\n- {}\n+ {}", shown(expected), shown(found));
    }
}

fn as_value(data: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(data).expect("the expected value as JSON")
}

/// Data that is no JSON is shown as text.
fn shown(data: &[u8]) -> Value {
    serde_json::from_slice(data).unwrap_or_else(|_| String::from_utf8_lossy(data).into_owned().into())
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::prelude::*;
    use crate::testing::event;

    fn echo(event: Event<Value>, cx: &mut Context) -> Outcome {
        for item in event.data.as_array().into_iter().flatten() {
            cx.emit("echoes.heard", item)?;
        }
        match event.data.as_str() {
            Some(reason) => Err(Failure::reject(reason)),
            None => cx.timer("tick").after(Duration::from_secs(1)),
        }
    }

    fn heard(data: Value) -> Scenario<Value> {
        Scenario::of(echo).when(event("sounds.made").json(&data))
    }

    fn message(then: fn(Scenario<Value>) -> Scenario<Value>, data: Value) -> String {
        let failed = catch_unwind(|| drop(then(heard(data)))).unwrap_err();
        *failed.downcast::<String>().unwrap()
    }

    #[test]
    fn shows_events_that_differ() {
        let then = |scenario: Scenario<_>| {
            scenario.then_emits([("echoes.heard", json!(1)), ("echoes.heard", json!(2))])
        };
        assert_eq!(
            message(then, json!([1, 3, 4])),
            "other events were emitted (- expected, + emitted):\n  echoes.heard 1\n- echoes.heard 2\n\
             + echoes.heard 3\n+ echoes.heard 4\n"
        );
        assert!(message(then, json!("too loud")).starts_with("the run failed: too loud (guest-sdk"));
    }

    #[test]
    fn shows_state_timers_and_failures_that_differ() {
        let data = || json!([]);
        let text = message(|scenario| scenario.then_state("a", &1), data());
        assert_eq!(text, "state `a` is another:\n- 1\n+ nothing");
        let text = message(|scenario| scenario.then_timers([]), data());
        assert_eq!(text, "other timers are set:\n- []\n+ [\"tick\"]");
        let text = message(|scenario| scenario.then_fails("quiet"), json!("too loud"));
        assert_eq!(text, "expected a failure for the reason `quiet`, found [\"too loud\"]");
        let given = |scenario: Scenario<_>| scenario.given([event("a"), event("b").json(&"too loud")]);
        assert!(message(given, data()).starts_with("given event 2 (`b`) failed: too loud"));
    }

    #[test]
    fn passes_where_all_is_as_it_should_be() {
        heard(json!("too loud")).then_fails("loud").then_timers([]).then_no_state("a");
        heard(json!([1])).then_emits([("echoes.heard", json!(1))]).then_timers(["tick"]);
        heard(json!([]))
            .then_emits_nothing()
            .when_time_passes(Duration::from_secs(1))
            .then_emits_nothing()
            .then_timers(["tick"]);
        let answer = |_: Event<()>, cx: &mut Context| cx.reply(&7);
        Scenario::of(answer).when_request(event("cmd.a")).then_replies(&7).then_emits_nothing();
    }
}
