//! The answer to a request.

use std::error::Error;
use std::fmt;

use serde::Serialize;

use crate::bindings::waxwing::events::types;
use crate::context::Context;
use crate::failure::Outcome;

/// A reply in the making, from [`Context::answer`].
///
/// What is not set has the contract's default: the data is empty, the media type is `application/json`.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// # use waxwing_sdk::testing::{Sandbox, event};
///
/// fn page(_event: Event<Value>, cx: &mut Context) -> Outcome {
///     cx.answer().content_type("text/html").attribute("etag", "7").bytes("<p>hello</p>").send()
/// }
/// # let run = Sandbox::new().ask(page, event("cmd.page"));
/// # assert_eq!(run.reply().unwrap().content_type, "text/html");
/// ```
#[derive(Debug)]
#[must_use = "a reply is sent by `send` or `try_send`"]
pub struct NewReply<'a> {
    cx: &'a mut Context,
    content_type: Option<&'a str>,
    attributes: Vec<types::AttributeParam<'a>>,
    /// Kept as a result, so that only the last step can fail.
    data: Result<Vec<u8>, serde_json::Error>,
}

impl<'a> NewReply<'a> {
    pub(crate) fn new(cx: &'a mut Context) -> Self {
        Self { cx, content_type: None, attributes: Vec::new(), data: Ok(Vec::new()) }
    }

    /// The media type of the data, where it is not `application/json`.
    pub fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// A named value, which the requester gets as a header. Names are 1 to 20 characters of a–z and 0–9.
    pub fn attribute(mut self, name: &'a str, value: &'a str) -> Self {
        self.attributes.push(types::AttributeParam { name, value });
        self
    }

    /// The data, as JSON.
    pub fn json(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        self.data = serde_json::to_vec(data);
        self
    }

    /// The data, as it is. Say what it is with [`content_type`](Self::content_type).
    pub fn bytes(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Ok(data.into());
        self
    }

    /// Replies. It can be a handler's last expression.
    ///
    /// # Errors
    /// A rejection, for each cause that [`ReplyError`] names.
    #[track_caller]
    pub fn send(self) -> Outcome {
        match self.try_send() {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replies, for a handler that can go on without it.
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub fn try_send(self) -> Result<(), ReplyError> {
        let data = self.data.map_err(ReplyError::Json)?;
        self.cx.host.reply(&data, self.content_type, &self.attributes)
    }
}

/// Why a reply was not taken. The run may go on without it.
///
/// ```
/// use waxwing_sdk::{ReplyError, prelude::*};
///
/// let mut cx = Context::for_test();
/// let refused = cx.answer().json(&1).try_send();
/// assert!(matches!(refused, Err(ReplyError::NotAsked)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplyError {
    /// Nobody waits: the event is no request. [`Context::is_asked`] tells before.
    NotAsked,
    /// The run has replied already.
    Replied,
    /// The media type, an attribute's name or its value is not allowed; with the host's words.
    InvalidAttribute(String),
    /// The reply is larger than this limit, in bytes.
    TooLarge(u64),
    /// The run has reached this many bytes of effects.
    TooMany(u64),
    /// The data cannot be said in JSON.
    Json(serde_json::Error),
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("nobody waits for a reply: the event is no request"),
            Self::Replied => f.write_str("the run has replied already"),
            Self::InvalidAttribute(why) => write!(f, "attribute is not allowed: {why}"),
            Self::TooLarge(limit) => write!(f, "reply is larger than {limit} bytes"),
            Self::TooMany(limit) => write!(f, "the run has reached its limit of effects, {limit}"),
            Self::Json(_) => f.write_str("reply cannot be written as JSON"),
        }
    }
}

impl Error for ReplyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(source) => Some(source),
            _ => None,
        }
    }
}
