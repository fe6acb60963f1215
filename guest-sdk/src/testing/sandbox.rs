//! A host in memory for one handler.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::fired;
use super::{Answer, Run, SetTimer, TestEvent};
use crate::aggregate::{Aggregate, fold, to_fact};
use crate::host::{Host, Outside};
use crate::{Context, Data, Event, Failure, HttpCall, HttpError, Outcome};

/// A host in memory for one handler: settings, grants and the state that its runs commit.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::{Sandbox, event};
///
/// fn greet(_event: Event<Value>, cx: &mut Context) -> Outcome {
///     let name = cx.setting("name").or_reject("setting `name` is missing")?;
///     cx.emit("greetings.said", &name)
/// }
///
/// let mut sandbox = Sandbox::new().setting("name", "Ada").grant("greetings.>");
/// let run = sandbox.run(greet, event("doors.opened"));
/// assert_eq!(run.only::<String>("greetings.said"), "Ada");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    pub(super) host: Host,
}

impl Sandbox {
    /// No settings, no state, every subject granted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.host.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds a secret, and grants it.
    #[must_use]
    pub fn secret(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.host.secrets.insert(name.to_owned(), value.as_ref().to_vec());
        self
    }

    /// Adds a grant to emit to subjects of this pattern. From the first on, others are refused.
    #[must_use]
    pub fn grant(mut self, pattern: &str) -> Self {
        self.host.grants.get_or_insert_default().push(pattern.to_owned());
        self
    }

    /// Sets a value in the state, as JSON.
    ///
    /// # Panics
    /// When JSON cannot say it.
    #[must_use]
    pub fn state(mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        let value = serde_json::to_vec(value).expect("the state value as JSON");
        self.host.state.insert(key.to_owned(), value);
        self
    }

    /// Says on which subjects histories stand, as `aggregate = "accounts.*"` does in a manifest: `accounts`. Tests that
    /// do not ask for subjects need not.
    #[must_use]
    pub fn histories_on(mut self, subjects: &str) -> Self {
        self.host.aggregate = Some(subjects.to_owned());
        self
    }

    /// Answers the HTTP calls of runs, or says why there is no answer; without it, every call is refused. A module under
    /// `waxwing test` calls nothing: there every call is refused, too.
    #[must_use]
    pub fn http(
        mut self,
        answer: impl Fn(&HttpCall) -> Result<Answer, HttpError> + Send + Sync + 'static,
    ) -> Self {
        self.host.outside = Some(Outside(Arc::new(answer)));
        self
    }

    /// Gives an aggregate a history, behind what it has.
    ///
    /// # Panics
    /// When an event is none that a history can hold.
    #[must_use]
    pub fn past(mut self, id: &str, events: &[impl Serialize]) -> Self {
        for event in events {
            let (event_type, data) = to_fact(event).expect("an event of a history");
            let data = data.map(|data| data.to_string()).unwrap_or_default();
            let past = self.host.past(&event_type, data.as_bytes());
            self.host.histories.entry(id.to_owned()).or_default().push(past);
        }
        self
    }

    /// An aggregate as its history has made it.
    ///
    /// # Panics
    /// When its history cannot be read.
    pub fn aggregate<A: Aggregate>(&self, id: &str) -> A {
        let mut aggregate = A::default();
        match fold(&self.host, id, &mut aggregate, 0) {
            Ok(_) => aggregate,
            Err(error) => panic!("aggregate `{id}`: {error}"),
        }
    }

    /// Runs a handler on an event. What it set is kept when it returns `Ok`.
    pub fn run<T: Data>(
        &mut self,
        handler: impl FnOnce(Event<T>, &mut Context) -> Outcome,
        event: TestEvent,
    ) -> Run {
        self.run_in(self.host.clone(), handler, event)
    }

    /// Runs a handler on a request: somebody waits for its reply.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    /// use waxwing_sdk::testing::{Sandbox, event};
    ///
    /// fn double(event: Event<u32>, cx: &mut Context) -> Outcome {
    ///     cx.reply(&(2 * event.data))
    /// }
    ///
    /// let run = Sandbox::new().ask(double, event("cmd.double").json(&21));
    /// assert_eq!(run.reply().unwrap().json::<u32>(), 42);
    /// ```
    pub fn ask<T: Data>(
        &mut self,
        handler: impl FnOnce(Event<T>, &mut Context) -> Outcome,
        event: TestEvent,
    ) -> Run {
        self.run_in(Host { is_asked: true, ..self.host.clone() }, handler, event)
    }

    /// Lets time pass: runs the handler on the event of each timer that fires meanwhile, in the order of their times,
    /// those included that it sets itself. A timer whose run fails is gone.
    ///
    /// ```
    /// use waxwing_sdk::prelude::*;
    /// use waxwing_sdk::testing::{Sandbox, event};
    ///
    /// fn every_minute(event: Event<Raw>, cx: &mut Context) -> Outcome {
    ///     cx.timer("tick").after(Duration::from_secs(60))?;
    ///     if event.timer().is_some() { cx.emit("minutes.passed", &1) } else { Ok(()) }
    /// }
    ///
    /// let mut sandbox = Sandbox::new();
    /// sandbox.run(every_minute, event("clocks.started"));
    /// assert_eq!(sandbox.pass(Duration::from_secs(200), every_minute).len(), 3);
    /// assert_eq!(sandbox.timers()["tick"].due, Duration::from_secs(240));
    /// ```
    pub fn pass<T: Data>(
        &mut self,
        time: Duration,
        mut handler: impl FnMut(Event<T>, &mut Context) -> Outcome,
    ) -> Vec<Run> {
        self.pass_by(time, |sandbox, _, event| sandbox.run(&mut handler, event))
    }

    /// Lets time pass; `run` takes the event of each timer that fires, and its id.
    pub(super) fn pass_by(
        &mut self,
        time: Duration,
        mut run: impl FnMut(&mut Self, &str, TestEvent) -> Run,
    ) -> Vec<Run> {
        let (until, mut runs) = (self.host.now.saturating_add(time), Vec::new());
        while let Some((id, timer)) = self.take_due(until) {
            self.host.now = self.host.now.max(timer.due);
            runs.push(run(self, &id, fired(&id, timer)));
        }
        self.host.now = until;
        runs
    }

    /// The timers that are set, by their ids. A test begins at 1970-01-01T00:00:00Z.
    pub fn timers(&self) -> &BTreeMap<String, SetTimer> {
        &self.host.timers
    }

    fn take_due(&mut self, until: Duration) -> Option<(String, SetTimer)> {
        let due = self.host.timers.iter().filter(|(_, timer)| timer.due <= until);
        let id = due.min_by_key(|(_, timer)| timer.due)?.0.clone();
        self.host.timers.remove_entry(&id)
    }

    fn run_in<T: Data>(
        &mut self,
        host: Host,
        handler: impl FnOnce(Event<T>, &mut Context) -> Outcome,
        event: TestEvent,
    ) -> Run {
        let mut cx = Context { host };
        cx.host.key = event.record.key.clone();
        let outcome = match event.build() {
            Ok(event) => handler(event, &mut cx),
            Err(error) => Err(Failure::of_data(&error)),
        };
        let lines = mem::take(&mut cx.host.lines);
        let emitted = mem::take(&mut cx.host.emitted);
        let replied = cx.host.replied.take();
        let calls = mem::take(&mut cx.host.calls);
        if outcome.is_err() {
            return Run { outcome, emitted: Vec::new(), lines, replied: None, calls };
        }
        self.host = Host { is_asked: false, ..cx.host };
        Run { outcome, emitted, lines, replied, calls }
    }

    /// A value in the committed state, from JSON.
    ///
    /// # Panics
    /// When the value is there and is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.host.state.get(key)?;
        match serde_json::from_slice(bytes) {
            Ok(value) => Some(value),
            Err(error) => panic!("state `{key}` is `{}`: {error}", String::from_utf8_lossy(bytes)),
        }
    }

    /// The keys of the committed state, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.host.state.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmitError;
    use crate::prelude::*;
    use crate::testing::event;

    #[derive(Debug, Deserialize)]
    struct Amount {
        amount: i32,
    }

    #[waxwing_sdk::handler]
    fn add(event: Event<Amount>, cx: &mut Context) -> Outcome {
        let sum = cx.state().get::<i32>(event.key())?.unwrap_or_default() + event.data.amount;
        cx.state().set(event.key(), &sum)?;
        cx.info("added");
        cx.emit("sums.changed", &sum)?;
        if sum < 0 {
            return Err(Failure::reject("sum is negative"));
        }
        Ok(())
    }

    fn amount(amount: i32) -> TestEvent {
        event("amounts.added").key("a").json(&json!({ "amount": amount }))
    }

    #[test]
    fn keeps_state_from_run_to_run() {
        let mut sandbox = Sandbox::new();
        assert!(sandbox.run(add, amount(2)).is_done());
        assert_eq!(sandbox.run(add, amount(3)).only::<i32>("sums.changed"), 5);
        assert_eq!(sandbox.get("a"), Some(5));
    }

    #[test]
    fn drops_all_effects_of_a_failed_run_but_its_log_lines() {
        let mut sandbox = Sandbox::new().state("a", &1);
        let run = sandbox.run(add, amount(-2));
        assert_eq!(run.failure().unwrap().reason(), "sum is negative");
        assert!(run.emitted().is_empty());
        assert_eq!(run.lines().len(), 1);
        assert_eq!(sandbox.get("a"), Some(1));
    }

    #[test]
    fn rejects_data_that_is_not_what_the_handler_expects() {
        let wrong = event("amounts.added").id("e7").json(&json!({ "amount": "x" }));
        let run = Sandbox::new().run(add, wrong);
        let failure = run.failure().unwrap();
        assert!(!failure.is_retry());
        assert_eq!(
            failure.to_string(),
            "data of event `e7` of type `amounts.added` is not what the handler expects: \
             invalid type: string \"x\", expected i32 at line 1 column 13"
        );
    }

    #[test]
    fn refuses_subjects_outside_the_grants() {
        let mut sandbox = Sandbox::new().grant("alerts.>");
        let run = sandbox.run(add, amount(1));
        assert!(run.failure().unwrap().reason().starts_with("subject is not granted"));

        let try_both = |_: Event<()>, cx: &mut Context| {
            assert!(matches!(cx.try_emit("sums.x", &1), Err(EmitError::NotGranted(_))));
            cx.emit("alerts.x", &1)
        };
        assert!(sandbox.run(try_both, event("a")).is_done());
    }

    #[test]
    fn takes_one_reply_of_a_request_and_none_of_an_event() {
        let reply = |_: Event<()>, cx: &mut Context| {
            let is_asked = cx.is_asked();
            cx.state().set("a", &is_asked)?;
            cx.reply(&1)
        };
        let mut sandbox = Sandbox::new();
        let run = sandbox.ask(reply, event("a"));
        assert_eq!(run.reply().map(|reply| reply.data.as_slice()), Some(&b"1"[..]));
        let run = sandbox.run(reply, event("a"));
        assert!(run.failure().unwrap().reason().contains("nobody waits for a reply"));
        assert_eq!((run.reply(), sandbox.get("a")), (None, Some(true)));
        let twice = |_: Event<()>, cx: &mut Context| cx.reply(&1).and_then(|()| cx.reply(&2));
        assert!(sandbox.ask(twice, event("a")).reply().is_none());
    }

    #[test]
    fn refuses_what_no_header_can_carry() {
        let answer = |value: &'static str| {
            move |_: Event<()>, cx: &mut Context| cx.answer().attribute("status", value).bytes("x").send()
        };
        assert!(Sandbox::new().ask(answer("ok"), event("a")).is_done());
        for value in ["a\nb", " a"] {
            assert!(!Sandbox::new().ask(answer(value), event("a")).is_done(), "{value:?}");
        }
    }

    #[test]
    fn stops_at_a_state_value_of_another_shape() {
        let run = Sandbox::new().state("a", "text").run(add, amount(1));
        let failure = run.failure().unwrap();
        assert!(!failure.is_retry());
        assert!(failure.reason().starts_with("state `a` is not what the handler expects: invalid type"));
    }
}
