//! What an error means for the event, said at the `?`.

use std::error::Error;
use std::time::Duration;

use crate::failure::{Failure, chain};

/// Says at a `?` what an error means for the event.
///
/// It works on a `Result` with any error, also text, and on an `Option`, where `None` is the error.
///
/// ```
/// use waxwing_sdk::prelude::*;
///
/// fn port(text: &str) -> Result<u16, Failure> {
///     Ok(text.parse::<u16>().or_reject("the port")?)
/// }
/// assert_eq!(port("x").unwrap_err().reason(), "the port: invalid digit found in string");
///
/// let busy: Result<(), &str> = Err("the line is busy");
/// let failure = busy.or_retry_after(Duration::from_secs(5)).unwrap_err();
/// assert_eq!(failure.retry_delay(), Some(Duration::from_secs(5)));
/// ```
pub trait OrFailure: Sized {
    /// What is there when nothing failed.
    type Value;

    /// On an error, try the event again when the handler's policy says so.
    ///
    /// # Errors
    /// A retry whose reason is the error.
    #[track_caller]
    fn or_retry(self) -> Result<Self::Value, Failure>;

    /// On an error, try the event again after a while.
    ///
    /// # Errors
    /// A retry whose reason is the error.
    #[track_caller]
    fn or_retry_after(self, delay: Duration) -> Result<Self::Value, Failure>;

    /// On an error, never try the event again; the reason starts with the context.
    ///
    /// # Errors
    /// A rejection with the context and the error.
    #[track_caller]
    fn or_reject(self, context: &str) -> Result<Self::Value, Failure>;
}

impl<T, E: Into<Box<dyn Error>>> OrFailure for Result<T, E> {
    type Value = T;

    #[track_caller]
    fn or_retry(self) -> Result<T, Failure> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(Failure::retry(chain(&*error.into()))),
        }
    }

    #[track_caller]
    fn or_retry_after(self, delay: Duration) -> Result<T, Failure> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(Failure::retry_after(delay, chain(&*error.into()))),
        }
    }

    #[track_caller]
    fn or_reject(self, context: &str) -> Result<T, Failure> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(Failure::reject(format!("{context}: {}", chain(&*error.into())))),
        }
    }
}

impl<T> OrFailure for Option<T> {
    type Value = T;

    #[track_caller]
    fn or_retry(self) -> Result<T, Failure> {
        match self {
            Some(value) => Ok(value),
            None => Err(Failure::retry(NOTHING)),
        }
    }

    #[track_caller]
    fn or_retry_after(self, delay: Duration) -> Result<T, Failure> {
        match self {
            Some(value) => Ok(value),
            None => Err(Failure::retry_after(delay, NOTHING)),
        }
    }

    #[track_caller]
    fn or_reject(self, context: &str) -> Result<T, Failure> {
        match self {
            Some(value) => Ok(value),
            None => Err(Failure::reject(context)),
        }
    }
}

const NOTHING: &str = "a value that should be there is missing";

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(5);

    fn wrong() -> Result<u32, std::num::ParseIntError> {
        "x".parse()
    }

    #[test]
    fn points_at_the_caller() {
        let failure = wrong().or_retry().unwrap_err();
        assert_eq!(failure.line(), Some(line!() - 1));
        let failure = wrong().or_retry_after(DELAY).unwrap_err();
        assert_eq!(failure.line(), Some(line!() - 1));
        let failure = wrong().or_reject("count").unwrap_err();
        assert_eq!(failure.line(), Some(line!() - 1));
        let failure = None::<()>.or_retry().unwrap_err();
        assert_eq!(failure.line(), Some(line!() - 1));
        let failure = None::<()>.or_retry_after(DELAY).unwrap_err();
        assert_eq!(failure.line(), Some(line!() - 1));
        let failure = None::<()>.or_reject("no count").unwrap_err();
        assert_eq!(failure.line(), Some(line!() - 1));
    }

    #[test]
    fn keeps_the_delay_and_the_error() {
        let failure = wrong().or_retry_after(DELAY).unwrap_err();
        assert_eq!(failure.retry_delay(), Some(DELAY));
        assert_eq!(failure.reason(), "invalid digit found in string");
    }

    #[test]
    fn passes_values_through() {
        assert_eq!(Ok::<_, &str>(1).or_retry().unwrap(), 1);
        assert_eq!(Some(1).or_reject("no count").unwrap(), 1);
    }
}
