//! Events that cannot be handled yet: `waiting/<key>`.

use std::time::Duration;

use super::reply::Input;
use super::timer::Timer;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// The most events of a key that may wait.
pub(super) const MOST_EVENTS: usize = 100;

/// The largest event that may wait for a start: its timer carries it.
pub(super) const MOST_BYTES: usize = 64 << 10;

/// The events of a key that wait, in the order in which they came: for the start, or for their step to begin.
#[derive(Debug)]
pub(super) struct Waiting {
    key: String,
    events: Vec<Input>,
    has_changed: bool,
}

impl Waiting {
    pub(super) fn load(key: &str, cx: &mut Context) -> Result<Self, Failure> {
        let events = cx.state().get(&Self::key(key))?.unwrap_or_default();
        Ok(Self { key: key.to_owned(), events, has_changed: false })
    }

    pub(super) fn key(key: &str) -> String {
        format!("waiting/{key}")
    }

    /// Keeps an event for the start, and no longer than `wait`.
    pub(super) fn park(mut self, input: &Input, wait: Duration, cx: &mut Context) -> Outcome {
        let bytes = serde_json::to_vec(input)?.len();
        if bytes > MOST_BYTES {
            return Err(Failure::of_event(format!(
                "event `{}` of type `{}` came before the start of its saga, and has {bytes} bytes: \
                 at most {MOST_BYTES} can wait",
                input.id, input.event_type
            )));
        }
        if self.keep(input)? {
            cx.timer(&Timer::Waiting(&input.print()).id(&self.key)).after(wait)?;
        }
        self.save(cx)
    }

    /// Adds an event; false where it waits already.
    pub(super) fn keep(&mut self, input: &Input) -> Result<bool, Failure> {
        if self.events.iter().any(|event| event.is(input)) {
            return Ok(false);
        }
        if self.events.len() >= MOST_EVENTS {
            let key = &self.key;
            return Err(Failure::of_event(format!(
                "{MOST_EVENTS} events of key `{key}` wait for their saga"
            )));
        }
        self.events.push(input.clone());
        self.has_changed = true;
        Ok(true)
    }

    /// Lets an event go on as a timer's data. Its run rejects it, and a rejection could not take it from this list.
    pub(super) fn expire(mut self, print: &str, cx: &mut Context) -> Outcome {
        if let Some(input) = self.take(|input| input.print() == print) {
            cx.timer(&Timer::Unmatched(print).id(&self.key)).json(&input).after(Duration::ZERO)?;
        }
        self.save(cx)
    }

    /// The first event that is wanted; it waits no longer.
    pub(super) fn take(&mut self, is_wanted: impl Fn(&Input) -> bool) -> Option<Input> {
        let place = self.events.iter().position(is_wanted)?;
        self.has_changed = true;
        Some(self.events.remove(place))
    }

    /// The saga has started: nothing waits for that any more.
    pub(super) fn stop_timers(&self, cx: &mut Context) -> Outcome {
        for input in &self.events {
            cx.timer(&Timer::Waiting(&input.print()).id(&self.key)).cancel()?;
        }
        Ok(())
    }

    pub(super) fn save(self, cx: &mut Context) -> Outcome {
        let key = Self::key(&self.key);
        if !self.has_changed {
            return Ok(());
        }
        if self.events.is_empty() {
            cx.state().delete(&key)?;
        } else {
            cx.state().set(&key, &self.events)?;
        }
        Ok(())
    }
}
