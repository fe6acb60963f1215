//! Why a run has no effect: to be tried again, or never.

use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::aggregate::AggregateError;
#[cfg(target_family = "wasm")]
use crate::bindings::waxwing::events::types;
use crate::data::DataError;
use crate::emit::EmitError;
use crate::http::HttpError;
use crate::secret::SecretError;
use crate::state::StateError;
use crate::timer::TimerError;

/// What a handler returns. `Ok` commits the run's effects; a [`Failure`] drops them all.
pub type Outcome = Result<(), Failure>;

/// Why a run has no effect.
///
/// A *retry* asks for another attempt, for causes that may pass. A *rejection* sends the event to the
/// dead letters at once, with its reason. `?` turns every error into a retry that names the file and
/// line of the `?`, because most errors pass; [`OrFailure::or_reject`](crate::OrFailure::or_reject) says
/// that one never will. Errors of this crate that no attempt can cure are rejections by themselves: data
/// that cannot be read or written, a subject or a key that is refused, a limit.
///
/// ```
/// use waxwing_sdk::prelude::*;
///
/// fn check(price: f64) -> Outcome {
///     if price < 0.0 {
///         return Err(Failure::reject("price is negative"));
///     }
///     Ok(())
/// }
///
/// let failure = check(-1.0).unwrap_err();
/// assert!(!failure.is_retry());
/// assert!(failure.to_string().starts_with("price is negative ("), "{failure}"); // file:line)
/// ```
// It must never implement `Error`: the conversion from every error would then overlap with itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    reason: String,
    /// Where the author's code failed; none where the fault is not in it.
    at: Option<&'static Location<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Retry { after: Option<Duration> },
    Reject,
}

impl Failure {
    /// Try the event again, when the handler's policy says so.
    ///
    /// ```
    /// # use waxwing_sdk::Failure;
    /// assert!(Failure::retry("the bank is closed").is_retry());
    /// ```
    #[track_caller]
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::here(Kind::Retry { after: None }, reason.into())
    }

    /// Try the event again after a while; the host counts in milliseconds.
    ///
    /// ```
    /// # use waxwing_sdk::Failure;
    /// # use std::time::Duration;
    /// let failure = Failure::retry_after(Duration::from_secs(60), "the bank is closed");
    /// assert_eq!(failure.retry_delay(), Some(Duration::from_secs(60)));
    /// ```
    #[track_caller]
    pub fn retry_after(delay: Duration, reason: impl Into<String>) -> Self {
        Self::here(Kind::Retry { after: Some(delay) }, reason.into())
    }

    /// Never try the event again.
    ///
    /// ```
    /// # use waxwing_sdk::Failure;
    /// assert_eq!(Failure::reject("no such product").reason(), "no such product");
    /// ```
    #[track_caller]
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::here(Kind::Reject, reason.into())
    }

    /// Whether it asks for another attempt.
    pub fn is_retry(&self) -> bool {
        matches!(self.kind, Kind::Retry { .. })
    }

    /// The delay that a retry asks for.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self.kind {
            Kind::Retry { after } => after,
            Kind::Reject => None,
        }
    }

    /// The reason, without file and line.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    #[cfg(test)]
    pub(crate) fn line(&self) -> Option<u32> {
        self.at.map(Location::line)
    }

    #[track_caller]
    fn here(kind: Kind, reason: String) -> Self {
        Self { kind, reason, at: Some(Location::caller()) }
    }

    /// Data that could not be read: no line of the author's code is at fault.
    pub(crate) fn of_data(error: &DataError) -> Self {
        Self::of_event(error.to_string())
    }

    /// An event that no author's code has seen.
    pub(crate) fn of_event(reason: String) -> Self {
        Self { kind: Kind::Reject, reason, at: None }
    }

    /// What a host has told of a run.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn told(is_retry: bool, after: Option<Duration>, reason: String) -> Self {
        let kind = if is_retry { Kind::Retry { after } } else { Kind::Reject };
        Self { kind, reason, at: None }
    }

    #[cfg(target_family = "wasm")]
    #[cold]
    pub(crate) fn into_wire(self) -> types::Failure {
        let reason = self.to_string();
        match self.kind {
            Kind::Reject => types::Failure::Reject(reason),
            Kind::Retry { after } => types::Failure::Retry(types::Retry {
                after_ms: after.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
                reason,
            }),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} ({}:{})", self.reason, at.file(), at.line()),
            None => f.write_str(&self.reason),
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    #[cold]
    #[track_caller]
    fn from(error: E) -> Self {
        let error: &(dyn Error + 'static) = &error;
        let of_http = error.downcast_ref::<HttpError>();
        let after = of_http.and_then(HttpError::retry_after);
        let kind = if is_incurable(error) { Kind::Reject } else { Kind::Retry { after } };
        Self::here(kind, chain(error))
    }
}

/// Whether another attempt would end in the same error.
fn is_incurable(error: &(dyn Error + 'static)) -> bool {
    let of_aggregate = error.downcast_ref::<AggregateError>();
    let of_state = error.downcast_ref::<StateError>();
    let of_http = error.downcast_ref::<HttpError>();
    let of_secret = error.downcast_ref::<SecretError>();
    of_state.is_some_and(|error| !matches!(error, StateError::Unavailable(_)))
        || of_aggregate.is_some_and(|error| !matches!(error, AggregateError::Unavailable(_)))
        || of_secret.is_some_and(|error| !matches!(error, SecretError::Unavailable(_)))
        || of_http.is_some_and(|error| !error.may_pass())
        || error.is::<EmitError>()
        || error.is::<TimerError>()
        || error.is::<DataError>()
}

/// An error and its causes. Many errors repeat their cause in their own text; those are not said twice.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u32, Failure> {
        Ok(text.parse::<u32>()?) // the line that the next test names
    }

    const PARSE_LINE: u32 = line!() - 3;

    #[test]
    fn points_at_the_question_mark() {
        let failure = parse("x").unwrap_err();
        let file = file!();
        assert!(failure.is_retry());
        assert_eq!(failure.to_string(), format!("invalid digit found in string ({file}:{PARSE_LINE})"));
    }

    #[test]
    fn points_at_the_caller_of_each_constructor() {
        let delay = Duration::ZERO;
        assert_eq!(Failure::retry("later").line(), Some(line!()));
        assert_eq!(Failure::retry_after(delay, "later").line(), Some(line!()));
        assert_eq!(Failure::reject("never").line(), Some(line!()));
    }

    #[test]
    fn passes_a_failure_through_unchanged() {
        fn outer() -> Outcome {
            Err(Failure::retry("later"))?;
            Ok(())
        }
        let failure = outer().unwrap_err();
        assert!(failure.is_retry());
        assert_eq!(failure.reason(), "later");
    }

    #[test]
    fn retries_when_the_state_cannot_be_read() {
        assert!(Failure::from(StateError::Unavailable("no answer".into())).is_retry());
        assert!(!Failure::from(StateError::InvalidKey("a b".into())).is_retry());
        assert!(!Failure::from(EmitError::NotGranted("a.b".into())).is_retry());
    }

    #[test]
    fn retries_a_call_that_may_end_otherwise_and_when_it_is_told_to() {
        let status = |status, retry_after| HttpError::Status { url: "https://a".into(), status, retry_after };
        for passing in [408, 425, 429, 500, 503, 599] {
            assert!(Failure::from(status(passing, None)).is_retry(), "{passing}");
        }
        for lasting in [301, 400, 404, 422] {
            assert!(!Failure::from(status(lasting, None)).is_retry(), "{lasting}");
        }
        let after = Some(Duration::from_secs(7));
        assert_eq!(Failure::from(status(429, after)).retry_delay(), after);
        assert!(Failure::from(HttpError::Unreachable("refused".into())).is_retry());
        assert!(!Failure::from(HttpError::Denied("https://a".into())).is_retry());
    }

    #[test]
    fn says_each_cause_once() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("no count")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer("x".parse::<u32>().unwrap_err());
        assert_eq!(chain(&error), "no count: invalid digit found in string");
        let repeated = std::io::Error::other(Outer("x".parse::<u32>().unwrap_err()));
        assert_eq!(chain(&repeated), "no count: invalid digit found in string");
    }
}
