//! Why a call has come to nothing.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why a call has come to nothing. The host's log says more.
///
/// At a `?`, what may pass is a retry: [`Unreachable`](Self::Unreachable), [`TimedOut`](Self::TimedOut), and a
/// [`Status`](Self::Status) that says so. Everything else is a rejection.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The call is no call: its address, its method or a header.
    Invalid(String),
    /// The manifest does not grant it, or nothing may be called here: in a replay, a test, a rebuild, a dry run.
    Denied(String),
    /// The address leads to the host's machine or its network, and the manifest does not say `private = true`.
    Private(String),
    /// The run has made as many calls as it may.
    TooManyCalls,
    /// A body is larger than this limit, in bytes.
    TooLarge(u64),
    /// There was no whole response in time.
    TimedOut(String),
    /// There was no response; with the reason.
    Unreachable(String),
    /// The response has a status that is no success.
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// When to come again, where the response says it in seconds.
        retry_after: Option<Duration>,
    },
    /// The request's body cannot be said in JSON.
    Json(serde_json::Error),
    /// The response's body is not what the handler expects.
    Data {
        /// The address.
        url: String,
        /// Why not.
        error: serde_json::Error,
    },
}

impl HttpError {
    /// Whether another attempt may end otherwise.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// How long to wait for that, where the response says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "HTTP call is not possible: {why}"),
            Self::Denied(url) => write!(f, "HTTP call of {url} is not granted"),
            Self::Private(url) => write!(f, "HTTP call of {url} leads into the host's own network"),
            Self::TooManyCalls => f.write_str("the run has made as many HTTP calls as it may"),
            Self::TooLarge(limit) => write!(f, "body of an HTTP call is larger than {limit} bytes"),
            Self::TimedOut(url) => write!(f, "{url} has not answered in time"),
            Self::Unreachable(why) => write!(f, "no answer: {why}"),
            Self::Status { url, status, .. } => write!(f, "{url} answered with status {status}"),
            Self::Json(_) => f.write_str("body of an HTTP call cannot be written as JSON"),
            Self::Data { url, .. } => write!(f, "answer of {url} is not what the handler expects"),
        }
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(error) | Self::Data { error, .. } => Some(error),
            _ => None,
        }
    }
}
