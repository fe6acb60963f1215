//! What a saga does: its start, its steps and its two ends.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::reply::{Decode, Reply, Take, taking};
use super::step::Step;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// How long an event waits for the start of its saga, where the plan does not say.
const WAIT: Duration = Duration::from_secs(60 * 60);

type Complete<S> = Box<dyn Fn(&S, &mut Context) -> Outcome>;
type Cancel<S> = Box<dyn Fn(&S, &str, &mut Context) -> Outcome>;

/// What a [`Saga`](super::Saga) does: its start, its steps in their order, and its two ends.
///
/// Each type of event stands once in a plan. A step begins when the one before it is done. When one fails or times
/// out, those that are done are undone in reverse order, and [`cancel`](Self::cancel) tells of it; when all are done,
/// [`complete`](Self::complete) does.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::{Plan, Saga, saga, testing};
///
/// /// Waits until all three have been heard, in whatever order they come.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Checkout {
///     order: Value,
///     customer: String,
/// }
///
/// impl Saga for Checkout {
///     fn plan() -> Plan<Self> {
///         Plan::new()
///             .start("orders.placed", |checkout: &mut Self, order: Value| checkout.order = order)
///             .step("customer", |step| {
///                 step.done_with("customers.registered", |checkout, name: String| checkout.customer = name)
///             })
///             .step("payment", |step| step.done_on("payments.authorized"))
///             .complete(|checkout, cx| cx.emit("orders.confirmed", checkout))
///     }
/// }
///
/// let mut sandbox = testing::Sandbox::new();
/// for event_type in ["payments.authorized", "customers.registered", "orders.placed"] {
///     let event = testing::event(event_type).key("o-1").json(&"Ada");
///     assert!(sandbox.run(saga::<Checkout>, event).is_done());
/// }
/// assert_eq!(sandbox.get::<Value>("saga/o-1").unwrap()["status"], "completed");
/// ```
#[must_use = "a plan does nothing until its saga handles an event"]
pub struct Plan<S> {
    starts: Vec<(String, Decode<Take<S>>)>,
    pub(super) steps: Vec<Step<S>>,
    pub(super) complete: Option<Complete<S>>,
    pub(super) cancel: Option<Cancel<S>>,
    pub(super) wait: Duration,
    pub(super) keep: Option<Duration>,
}

impl<S: 'static> Plan<S> {
    /// A plan without a start or steps.
    #[expect(clippy::new_without_default, reason = "a plan without a start is not valid")]
    pub fn new() -> Self {
        Self { starts: Vec::new(), steps: Vec::new(), complete: None, cancel: None, wait: WAIT, keep: None }
    }

    /// An event of this type starts an instance, and brings its data. Where several types do, the first event does.
    pub fn start<T: DeserializeOwned + 'static>(
        mut self,
        event_type: &str,
        take: impl Fn(&mut S, T) + 'static,
    ) -> Self {
        self.starts.push((event_type.to_owned(), taking(take)));
        self
    }

    /// Adds a step after those before it. Its name stands in the state, so it stays from version to version.
    pub fn step(mut self, name: &str, build: impl FnOnce(Step<S>) -> Step<S>) -> Self {
        self.steps.push(build(Step::new(name)));
        self
    }

    /// What happens when all steps are done.
    pub fn complete(mut self, tell: impl Fn(&S, &mut Context) -> Outcome + 'static) -> Self {
        self.complete = Some(Box::new(tell));
        self
    }

    /// What happens when a step has failed, with the reason, after those before it were undone.
    pub fn cancel(mut self, tell: impl Fn(&S, &str, &mut Context) -> Outcome + 'static) -> Self {
        self.cancel = Some(Box::new(tell));
        self
    }

    /// How long an event waits for the start of its saga before it becomes a dead letter; one hour unless set.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long an instance is remembered after its end; for ever unless set. What comes later finds no instance, and
    /// waits for a start as if there had been none.
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = Some(keep);
        self
    }

    pub(super) fn start_on(&self, event_type: &str) -> Option<&Decode<Take<S>>> {
        self.starts.iter().find(|(start, _)| start == event_type).map(|(_, take)| take)
    }

    pub(super) fn reply_on(&self, event_type: &str) -> Option<(&Step<S>, &Reply<S>)> {
        self.steps.iter().find_map(|step| Some((step, step.reply_on(event_type)?)))
    }

    /// A retry, as it is the handler that is wrong and not the event.
    pub(super) fn check(&self) -> Outcome {
        let wrong = |what: String| Err(Failure::retry(format!("the saga's plan {what}")));
        if self.starts.is_empty() {
            return wrong("has no start".to_owned());
        }
        let mut names = BTreeSet::new();
        let mut types: BTreeSet<_> = BTreeSet::new();
        let starts = self.starts.iter().map(|(start, _)| start);
        for event_type in starts.chain(self.steps.iter().flat_map(Step::event_types)) {
            if !types.insert(event_type) {
                return wrong(format!("names the event `{event_type}` twice"));
            }
        }
        for step in &self.steps {
            if !names.insert(&step.name) {
                return wrong(format!("has two steps `{}`", step.name));
            }
            if !step.can_be_done() {
                return wrong(format!("has a step `{}` that no event ends: say `done_on`", step.name));
            }
        }
        Ok(())
    }
}

impl<S: 'static> fmt::Debug for Plan<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("steps", &self.steps).finish_non_exhaustive()
    }
}
