//! What a saga hears, and what a reply means to a step.

use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::data::{DataError, Raw, or_null};
use crate::event::Event;
use crate::failure::{Failure, Outcome};

/// An event as a saga keeps it while it waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) id: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) subject: String,
    pub(super) time: Option<String>,
    /// As it came, so that no number loses a digit.
    data: Box<RawValue>,
}

impl Input {
    pub(super) fn of(event: &Event<Raw>) -> Result<Self, Failure> {
        let data = serde_json::from_slice(or_null(&event.data));
        Ok(Self {
            id: event.id().to_owned(),
            source: event.source().to_owned(),
            event_type: event.event_type().to_owned(),
            subject: event.subject().to_owned(),
            time: event.time().map(str::to_owned),
            data: data.map_err(|error| unreadable(event.event_type(), event.id(), error))?,
        })
    }

    /// Whether it is the same event, delivered again.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.id == other.id && self.source == other.source && self.event_type == other.event_type
    }

    /// Names the event in a timer's id, however long its own id is: FNV-1a of what identifies it.
    pub(super) fn print(&self) -> String {
        let parts = [&self.source, &self.event_type, &self.id];
        let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0]));
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        format!("{:016x}", bytes.fold(0xcbf2_9ce4_8422_2325, step))
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(self.data.get()).map_err(|error| unreadable(&self.event_type, &self.id, error))
    }
}

#[cold]
fn unreadable(event_type: &str, id: &str, error: serde_json::Error) -> Failure {
    Failure::of_data(&DataError::new(event_type, id, error))
}

/// Reads an event, before anything is done with it.
pub(super) type Decode<T> = Box<dyn Fn(&Input) -> Result<T, Failure>>;

/// Brings what was read into the saga's data.
pub(super) type Take<S> = Box<dyn FnOnce(&mut S)>;

/// What an event means to a step.
pub(super) enum Reply<S> {
    Done(Decode<Take<S>>),
    /// With the reason.
    Failed(Decode<String>),
}

impl<S> Reply<S> {
    /// Whether the event can be read, so that one that waits is no surprise later.
    pub(super) fn check(&self, input: &Input) -> Outcome {
        match self {
            Self::Done(decode) => decode(input).map(drop),
            Self::Failed(decode) => decode(input).map(drop),
        }
    }
}

pub(super) fn nothing<S>() -> Decode<Take<S>> {
    Box::new(|_| Ok(Box::new(|_| ())))
}

pub(super) fn taking<S, T: DeserializeOwned + 'static>(
    take: impl Fn(&mut S, T) + 'static,
) -> Decode<Take<S>> {
    let take = Rc::new(take);
    Box::new(move |input| {
        let (take, data) = (take.clone(), input.json()?);
        Ok(Box::new(move |saga| take(saga, data)))
    })
}

pub(super) fn giving<T: DeserializeOwned>(why: impl Fn(T) -> String + 'static) -> Decode<String> {
    Box::new(move |input| input.json().map(&why))
}
