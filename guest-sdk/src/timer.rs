//! Timers: events that a handler sends to itself later.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::context::Context;
use crate::failure::Outcome;

/// When a timer fires, as the contract says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    AfterMs(u64),
    AtMs(u64),
}

/// A timer by its id, from [`Context::timer`]: to be set with [`after`](Self::after) or [`at`](Self::at), or to be
/// cancelled.
///
/// It is an effect of the run. When it fires, the handler gets an event of its own kind, which has the key of the event
/// whose run has set it: [`Event::timer`](crate::Event::timer) gives its id.
///
/// ```
/// use std::time::Duration;
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::{Sandbox, event};
///
/// fn order(event: Event<Raw>, cx: &mut Context) -> Outcome {
///     match (event.timer(), event.event_type()) {
///         (Some("payment"), _) => cx.emit("orders.expired", event.key()),
///         (None, "payments.authorized") => cx.timer("payment").cancel(),
///         _ => cx.timer("payment").after(Duration::from_secs(30)),
///     }
/// }
///
/// let mut sandbox = Sandbox::new();
/// sandbox.run(order, event("orders.placed").key("o-1"));
/// let runs = sandbox.pass(Duration::from_secs(30), order);
/// assert_eq!(runs[0].only::<String>("orders.expired"), "o-1");
///
/// sandbox.run(order, event("orders.placed").key("o-2"));
/// sandbox.run(order, event("payments.authorized").key("o-2"));
/// assert!(sandbox.pass(Duration::from_secs(60), order).is_empty());
/// ```
#[derive(Debug)]
#[must_use = "a timer is set by `after` or `at`"]
pub struct Timer<'a> {
    cx: &'a mut Context,
    id: &'a str,
    content_type: Option<&'a str>,
    /// Kept as a result, so that only the last step can fail.
    data: Result<Vec<u8>, serde_json::Error>,
}

impl<'a> Timer<'a> {
    pub(crate) fn new(cx: &'a mut Context, id: &'a str) -> Self {
        Self { cx, id, content_type: None, data: Ok(Vec::new()) }
    }

    /// What the event will say, as JSON.
    pub fn json(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        self.data = serde_json::to_vec(data);
        self
    }

    /// What the event will say, as it is. Say what it is with [`content_type`](Self::content_type).
    pub fn bytes(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Ok(data.into());
        self
    }

    /// The media type of the data, where it is not `application/json`.
    pub fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// Sets it to fire so long after this run, in place of one of this id that is set; the host counts in milliseconds.
    ///
    /// # Errors
    /// A rejection, for each cause that [`TimerError`] names.
    #[track_caller]
    pub fn after(self, wait: Duration) -> Outcome {
        self.set(Due::AfterMs(millis(wait)))
    }

    /// Sets it to fire at this time, at once where that is past.
    ///
    /// # Errors
    /// A rejection, for each cause that [`TimerError`] names.
    #[track_caller]
    pub fn at(self, time: SystemTime) -> Outcome {
        self.set(Due::AtMs(time.duration_since(SystemTime::UNIX_EPOCH).map(millis).unwrap_or_default()))
    }

    /// Cancels it: it never arrives, though its time may have come. Where none is set, nothing changes.
    ///
    /// # Errors
    /// A rejection, for each cause that [`TimerError`] names.
    #[track_caller]
    pub fn cancel(self) -> Outcome {
        match self.cx.host.timer_cancel(self.id) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[track_caller]
    fn set(self, due: Due) -> Outcome {
        let data = match self.data {
            Ok(data) => data,
            Err(error) => return Err(TimerError::Json(error).into()),
        };
        match self.cx.host.timer_set(self.id, due, &data, self.content_type) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why a timer was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum TimerError {
    /// An id is 1 to 200 bytes of any text; with the host's words.
    InvalidId(String),
    /// The media type is not allowed; with the host's words.
    InvalidContentType(String),
    /// It would be due after so many milliseconds since 1970.
    TooFar(u64),
    /// The data is larger than this limit, in bytes.
    TooLarge(u64),
    /// The run has reached this many effects, or this many bytes of them.
    TooMany(u64),
    /// The handler reads a stream that the app does not own.
    NotHere,
    /// The data cannot be said in JSON.
    Json(serde_json::Error),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidId(why) => write!(f, "timer id is not allowed: {why}"),
            Self::InvalidContentType(why) => write!(f, "media type of a timer's data is not allowed: {why}"),
            Self::TooFar(limit) => write!(f, "timer is due later than {limit} ms after 1970"),
            Self::TooLarge(limit) => write!(f, "timer data is larger than {limit} bytes"),
            Self::TooMany(limit) => write!(f, "the run has reached its limit of effects, {limit}"),
            Self::NotHere => f.write_str("a handler that reads a stream of others has no timers"),
            Self::Json(_) => f.write_str("timer data cannot be written as JSON"),
        }
    }
}

impl Error for TimerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(source) => Some(source),
            _ => None,
        }
    }
}
