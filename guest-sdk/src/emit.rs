//! An event that a run emits.

use std::error::Error;
use std::fmt;

use serde::Serialize;

use crate::bindings::waxwing::events::{emit as wire, types};
use crate::context::Context;
use crate::failure::Outcome;

/// An event in the making, from [`Context::event`].
///
/// What is not set has the contract's default: the type is the subject, the data is empty. The host
/// stamps id, source, time, correlation and causation id.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// # let mut cx = Context::for_test();
/// cx.event("photos.scaled")
///     .about("photo/7")
///     .extension("tenant", "blue")
///     .content_type("image/png")
///     .bytes(vec![0x89, 0x50])
///     .emit()?;
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug)]
#[must_use = "an event is emitted by `emit` or `try_emit`"]
pub struct NewEvent<'a> {
    cx: &'a mut Context,
    subject: &'a str,
    event_type: Option<&'a str>,
    about: Option<&'a str>,
    content_type: Option<&'a str>,
    data_schema: Option<&'a str>,
    extensions: Vec<types::AttributeParam<'a>>,
    /// Kept as a result, so that only the last step can fail.
    data: Result<Vec<u8>, serde_json::Error>,
}

impl<'a> NewEvent<'a> {
    pub(crate) fn new(cx: &'a mut Context, subject: &'a str) -> Self {
        Self {
            cx,
            subject,
            event_type: None,
            about: None,
            content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data: Ok(Vec::new()),
        }
    }

    /// The CloudEvents type, where it is not the subject.
    pub fn event_type(mut self, event_type: &'a str) -> Self {
        self.event_type = Some(event_type);
        self
    }

    /// What the event is about: the CloudEvents attribute `subject`.
    pub fn about(mut self, about: &'a str) -> Self {
        self.about = Some(about);
        self
    }

    /// The media type of the data, where it is not `application/json`.
    pub fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// The URI of the schema that the data follows.
    pub fn data_schema(mut self, data_schema: &'a str) -> Self {
        self.data_schema = Some(data_schema);
        self
    }

    /// A further attribute. Names are 1 to 20 characters of a–z and 0–9.
    pub fn extension(mut self, name: &'a str, value: &'a str) -> Self {
        self.extensions.push(types::AttributeParam { name, value });
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

    /// Emits the event. It can be a handler's last expression.
    ///
    /// # Errors
    /// A rejection, for each cause that [`EmitError`] names.
    #[track_caller]
    pub fn emit(self) -> Outcome {
        match self.try_emit() {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Emits the event, for a handler that can go on without it.
    ///
    /// # Errors
    /// See [`EmitError`].
    pub fn try_emit(self) -> Result<(), EmitError> {
        let data = self.data.map_err(EmitError::Json)?;
        self.cx.host.emit(wire::NewEvent {
            subject: self.subject,
            type_: self.event_type,
            about: self.about,
            content_type: self.content_type,
            data_schema: self.data_schema,
            extensions: &self.extensions,
            data: &data,
        })
    }
}

/// Why an event was not taken. The run may go on without it.
///
/// ```
/// use waxwing_sdk::{EmitError, prelude::*};
///
/// # let mut cx = Context::for_test();
/// match cx.try_emit("orders..placed", &json!({})) {
///     Err(EmitError::InvalidSubject(why)) => println!("{why}"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum EmitError {
    /// The subject is empty, too long, has an empty token, a wildcard or white space; with the host's words.
    InvalidSubject(String),
    /// No grant of this handler covers the subject; with the host's words.
    NotGranted(String),
    /// An attribute's name or value is not allowed; with the host's words.
    InvalidAttribute(String),
    /// The event is larger than this limit, in bytes.
    TooLarge(u64),
    /// The run has reached this many effects, or this many bytes of them.
    TooMany(u64),
    /// The data cannot be said in JSON.
    Json(serde_json::Error),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSubject(why) => write!(f, "subject is not allowed: {why}"),
            Self::NotGranted(why) => write!(f, "subject is not granted: {why}"),
            Self::InvalidAttribute(why) => write!(f, "attribute is not allowed: {why}"),
            Self::TooLarge(limit) => write!(f, "event is larger than {limit} bytes"),
            Self::TooMany(limit) => write!(f, "the run has reached its limit of effects, {limit}"),
            Self::Json(_) => f.write_str("event data cannot be written as JSON"),
        }
    }
}

impl Error for EmitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json(source) => Some(source),
            _ => None,
        }
    }
}
