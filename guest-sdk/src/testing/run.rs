//! What one run did.

use serde::de::DeserializeOwned;

use super::{Emitted, Line, Replied};
use crate::{Failure, HttpCall, Outcome};

/// One run of a handler: its outcome and what it emitted and logged.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::{Sandbox, event};
///
/// fn shut(_event: Event<Value>, cx: &mut Context) -> Outcome {
///     cx.emit("doors.opened", &1)?;
///     Err(Failure::reject("the door is stuck"))
/// }
///
/// let run = Sandbox::new().run(shut, event("doors.open"));
/// assert_eq!(run.failure().unwrap().reason(), "the door is stuck");
/// assert!(run.emitted().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    pub(super) outcome: Outcome,
    pub(super) emitted: Vec<Emitted>,
    pub(super) lines: Vec<Line>,
    pub(super) replied: Option<Replied>,
    pub(super) calls: Vec<HttpCall>,
}

impl Run {
    /// What the handler returned, or the rejection of data that it cannot read.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether the effects would be committed.
    pub fn is_done(&self) -> bool {
        self.outcome.is_ok()
    }

    /// Why the run has no effect.
    pub fn failure(&self) -> Option<&Failure> {
        self.outcome.as_ref().err()
    }

    /// The events that the run emitted, in order; none when it failed.
    pub fn emitted(&self) -> &[Emitted] {
        &self.emitted
    }

    /// The data of the one event that the run emitted, which is on this subject.
    ///
    /// # Panics
    /// When the run failed, emitted another number of events, or on another subject.
    pub fn only<T: DeserializeOwned>(&self, subject: &str) -> T {
        match (&self.outcome, self.emitted()) {
            (Ok(()), [only]) if only.subject == subject => only.json(),
            (outcome, emitted) => {
                let subjects: Vec<_> = emitted.iter().map(|event| &event.subject).collect();
                panic!("expected one event on `{subject}`: {outcome:?}, emitted on {subjects:?}")
            }
        }
    }

    /// What the run replied to a request; none when it failed or said nothing.
    pub fn reply(&self) -> Option<&Replied> {
        self.replied.as_ref()
    }

    /// The HTTP calls that the run made, whatever its outcome.
    pub fn calls(&self) -> &[HttpCall] {
        &self.calls
    }

    /// The lines that the run logged, whatever its outcome.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}
