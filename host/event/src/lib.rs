//! The vocabulary of Waxwing: events, subjects, handlers, effects and outcomes.
//!
//! Everything here is a value or a pure function over values. The crate knows no async runtime, no
//! broker and no sandbox.
//!
//! | module | noun |
//! | --- | --- |
//! | [`subject`] | subjects of NATS, and patterns over them |
//! | [`name`] | names of apps, handlers and streams |
//! | [`position`] | places in a log |
//! | [`headers`] | the headers of an entry |
//! | [`event`] | the event itself |
//! | [`decode`], [`encode`] | CloudEvents and other forms on the wire |
//! | [`key`] | what keeps events in order |
//! | [`handler`] | what a manifest says of a handler |
//! | [`origin`], [`address`] | where calls to the outside may go |
//! | [`http`], [`files`] | what may be called, and which directories may be used |
//! | [`secret`] | where a host finds secrets |
//! | [`effect`] | what a run wants written |
//! | [`outcome`] | how a run ended |
//! | [`digest`] | which module ran |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod address;
pub mod decode;
pub mod digest;
pub mod effect;
pub mod encode;
pub mod event;
pub mod files;
pub mod handler;
pub mod headers;
pub mod http;
pub mod key;
pub mod name;
pub mod origin;
pub mod outcome;
pub mod position;
pub mod secret;
pub mod subject;

pub use digest::Digest;
pub use effect::{Due, Effects, Emit, NewTimer, Reply, TimerChange};
pub use event::Event;
pub use handler::HandlerSpec;
pub use headers::Headers;
pub use name::{AppName, HandlerName, Label, SecretName, StreamName};
pub use outcome::{Failure, Outcome};
pub use position::Position;
pub use subject::{Pattern, Subject};
