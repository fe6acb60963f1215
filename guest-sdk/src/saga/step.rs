//! One step of a saga: its command, the replies to it, and how it is undone.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::reply::{Reply, giving, nothing, taking};
use crate::context::Context;
use crate::failure::Outcome;

type Command<S> = Box<dyn Fn(&S, &mut Context) -> Outcome>;

/// One step of a saga, from [`Plan::step`](super::Plan::step): its command, the events that end it, how it is undone.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::Step;
///
/// #[derive(Deserialize)]
/// struct Declined {
///     why: String,
/// }
///
/// fn payment(step: Step<Value>) -> Step<Value> {
///     step.run(|order, cx| cx.emit("payments.charge", order))
///         .done_on("payments.authorized")
///         .failed_with("payments.declined", |declined: Declined| declined.why)
///         .timeout(Duration::from_secs(30))
///         .undo(|order, cx| cx.emit("payments.refund", order))
/// }
/// ```
#[must_use = "a step does nothing until it is part of a plan"]
pub struct Step<S> {
    pub(super) name: String,
    pub(super) command: Option<Command<S>>,
    pub(super) undo: Option<Command<S>>,
    pub(super) timeout: Option<Duration>,
    pub(super) is_undone_on_timeout: bool,
    replies: Vec<(String, Reply<S>)>,
}

impl<S: 'static> Step<S> {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: None,
            undo: None,
            timeout: None,
            is_undone_on_timeout: false,
            replies: Vec::new(),
        }
    }

    /// What begins it: usually a command as an event. A step without it waits for its event only.
    ///
    /// A reply that is there before the step begins stands for the command, which is not sent then.
    pub fn run(mut self, command: impl Fn(&S, &mut Context) -> Outcome + 'static) -> Self {
        self.command = Some(Box::new(command));
        self
    }

    /// An event of this type says that it is done.
    pub fn done_on(self, event_type: &str) -> Self {
        self.reply(event_type, Reply::Done(nothing()))
    }

    /// An event of this type says that it is done, and brings data.
    pub fn done_with<T: DeserializeOwned + 'static>(
        self,
        event_type: &str,
        take: impl Fn(&mut S, T) + 'static,
    ) -> Self {
        self.reply(event_type, Reply::Done(taking(take)))
    }

    /// An event of this type says that it has failed for good, and has left nothing to undo.
    pub fn failed_on(self, event_type: &str) -> Self {
        let reason = format!("step `{}` failed: {event_type}", self.name);
        self.reply(event_type, Reply::Failed(Box::new(move |_| Ok(reason.clone()))))
    }

    /// An event of this type says that it has failed for good, and why.
    pub fn failed_with<T: DeserializeOwned>(
        self,
        event_type: &str,
        why: impl Fn(T) -> String + 'static,
    ) -> Self {
        self.reply(event_type, Reply::Failed(giving(why)))
    }

    /// How long it may take from its begin; then the saga is cancelled.
    ///
    /// Whether the step was done is not known then. By default it is undone when its late reply comes, and only then:
    /// the receiver of the command may not have begun, and would take the undoing for a mistake.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A step that times out is undone at once, whether it was done or not; its late reply changes nothing.
    ///
    /// For receivers that understand an undo of what they have not done, also when it overtakes the command.
    pub fn undo_on_timeout(mut self) -> Self {
        self.is_undone_on_timeout = true;
        self
    }

    /// What takes it back when the saga is cancelled: a command that nobody need answer. It comes once.
    pub fn undo(mut self, command: impl Fn(&S, &mut Context) -> Outcome + 'static) -> Self {
        self.undo = Some(Box::new(command));
        self
    }

    pub(super) fn reply_on(&self, event_type: &str) -> Option<&Reply<S>> {
        self.replies.iter().find(|(known, _)| known == event_type).map(|(_, reply)| reply)
    }

    pub(super) fn event_types(&self) -> impl Iterator<Item = &String> {
        self.replies.iter().map(|(event_type, _)| event_type)
    }

    pub(super) fn can_be_done(&self) -> bool {
        self.replies.iter().any(|(_, reply)| matches!(reply, Reply::Done(_)))
    }

    fn reply(mut self, event_type: &str, reply: Reply<S>) -> Self {
        self.replies.push((event_type.to_owned(), reply));
        self
    }
}

impl<S> fmt::Debug for Step<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}
