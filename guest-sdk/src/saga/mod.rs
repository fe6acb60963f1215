//! Sagas: a long piece of work as steps, each with the command that undoes it.

mod instance;
mod plan;
mod record;
mod reply;
mod step;
#[cfg(test)]
mod tests;
mod timer;
mod trail;
mod waiting;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::data::Raw;
use crate::event::Event;
use crate::failure::{Failure, Outcome};
use instance::Instance;
pub use plan::Plan;
use reply::Input;
pub use step::Step;
use timer::Timer;
use waiting::Waiting;

/// A long piece of work over many events: one instance a key, with steps that run one after another.
///
/// The type is what an instance knows; its [`Plan`] says what it does. Each event is one run, so what the saga knows,
/// its commands and its timers are one transaction. [`saga`](crate::saga()) makes it a handler.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::{Plan, Saga, saga};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Purchase {
///     order: Value,
/// }
///
/// impl Saga for Purchase {
///     fn plan() -> Plan<Self> {
///         Plan::new()
///             .start("orders.placed", |purchase: &mut Self, order: Value| purchase.order = order)
///             .step("stock", |step| {
///                 step.run(|purchase, cx| cx.emit("stock.reserve", &purchase.order))
///                     .done_on("stock.reserved")
///                     .failed_on("stock.refused")
///                     .undo(|purchase, cx| cx.emit("stock.release", &purchase.order))
///             })
///             .step("payment", |step| {
///                 step.run(|purchase, cx| cx.emit("payments.charge", &purchase.order))
///                     .done_on("payments.authorized")
///                     .failed_on("payments.declined")
///                     .timeout(Duration::from_secs(30))
///                     .undo(|purchase, cx| cx.emit("payments.refund", &purchase.order))
///             })
///             .complete(|purchase, cx| cx.emit("orders.confirmed", &purchase.order))
///             .cancel(|_, reason, cx| cx.emit("orders.cancelled", reason))
///     }
/// }
///
/// #[waxwing_sdk::handler]
/// fn order_saga(event: Event<Raw>, cx: &mut Context) -> Outcome {
///     saga::<Purchase>(event, cx)
/// }
///
/// use waxwing_sdk::testing::{Scenario, event};
///
/// let event = |event_type: &str| event(event_type).key("o-1").json(&7);
/// Scenario::of(order_saga)
///     .given([event("orders.placed"), event("stock.reserved")])
///     .when(event("payments.declined"))
///     .then_emits([
///         ("stock.release", json!(7)),
///         ("orders.cancelled", json!("step `payment` failed: payments.declined")),
///     ])
///     .then_timers([]);
/// ```
pub trait Saga: Default + Serialize + DeserializeOwned + 'static {
    /// What starts the saga, its steps, and its two ends.
    fn plan() -> Plan<Self>;
}

/// Handles an event as an input of a saga; the event's key says of which instance.
///
/// Its events are those that the [`Plan`] names, and the timers that the saga sets itself.
///
/// # Errors
/// A rejection for an event that the plan does not name, whose data is not what the plan expects, that has no key, or
/// that no start of its saga followed in time; a retry where the plan contradicts itself.
pub fn saga<S: Saga>(event: Event<Raw>, cx: &mut Context) -> Outcome {
    let plan = S::plan();
    plan.check()?;
    let Some(key) = event.lane_key() else {
        let reason = "a saga needs a key: set `key` for its handler in waxwing.toml";
        return Err(Failure::of_event(reason.to_owned()));
    };
    match event.timer() {
        Some(id) => on_timer(&plan, key, id, &event, cx),
        None => heard(&plan, key, &Input::of(&event)?, IfUnmatched::Wait, cx),
    }
}

/// What becomes of an event whose saga has not started.
#[derive(Clone, Copy)]
enum IfUnmatched {
    Wait,
    Reject,
}

fn on_timer<S: Saga>(plan: &Plan<S>, key: &str, id: &str, event: &Event<Raw>, cx: &mut Context) -> Outcome {
    let known = Timer::read(id, key);
    match known.ok_or_else(|| Failure::of_event(format!("timer `{id}` is none of a saga")))? {
        Timer::Timeout(step) => match Instance::load(plan, key, cx)? {
            Some(instance) => instance.timed_out(step, &Input::of(event)?),
            None => Ok(()),
        },
        Timer::Waiting(print) => Waiting::load(key, cx)?.expire(print, cx),
        Timer::Unmatched(_) => heard(plan, key, &event.json()?, IfUnmatched::Reject, cx),
        Timer::Keep => Instance::<S>::forget(key, cx),
    }
}

fn heard<S: Saga>(
    plan: &Plan<S>,
    key: &str,
    input: &Input,
    if_unmatched: IfUnmatched,
    cx: &mut Context,
) -> Outcome {
    if let Some(begin) = plan.start_on(&input.event_type) {
        let begin = begin(input)?;
        return match Instance::load(plan, key, cx)? {
            Some(instance) => instance.ignore(input),
            None => Instance::start(plan, key, begin, input, cx),
        };
    }
    let (step, reply) = plan.reply_on(&input.event_type).ok_or_else(|| no_rule(input))?;
    match Instance::load(plan, key, cx)? {
        Some(instance) => instance.reply(step, reply, input),
        None => match if_unmatched {
            IfUnmatched::Wait => {
                reply.check(input)?;
                Waiting::load(key, cx)?.park(input, plan.wait, cx)
            }
            IfUnmatched::Reject => Err(Failure::of_event(format!(
                "event `{}` of type `{}`: no start of saga for key `{key}` came within {:?}",
                input.id, input.event_type, plan.wait
            ))),
        },
    }
}

#[cold]
fn no_rule(input: &Input) -> Failure {
    Failure::of_event(format!("no rule for events of type `{}`", input.event_type))
}
