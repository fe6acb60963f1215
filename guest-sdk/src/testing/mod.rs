//! Native tests for handlers: a sandbox in memory, events for it, and what a run did.
//!
//! ```
//! use waxwing_sdk::prelude::*;
//! use waxwing_sdk::testing::{Sandbox, event};
//!
//! fn count(event: Event<Value>, cx: &mut Context) -> Outcome {
//!     let count = cx.state().get::<u32>(event.key())?.unwrap_or_default() + 1;
//!     cx.state().set(event.key(), &count)?;
//!     cx.emit("visits.counted", &json!({ "count": count }))
//! }
//!
//! let mut sandbox = Sandbox::new().state("home", &41);
//! let run = sandbox.run(count, event("pages.visited").key("home"));
//! assert_eq!(run.emitted()[0].json::<Value>(), json!({ "count": 42 }));
//! assert_eq!(sandbox.get("home"), Some(42));
//! ```
//!
//! As on a host, effects of a run that fails are dropped. [`Scenario`] says the same in three words: given, when, then.
#![allow(clippy::panic, clippy::expect_used, reason = "a test that asks for what is not there has failed")]

mod answer;
mod emitted;
mod event;
mod module;
mod run;
mod sandbox;
mod scenario;

pub use answer::Answer;
pub use emitted::{Emitted, Line, Replied, SetTimer};
pub use event::{TestEvent, event};
pub use run::Run;
pub use sandbox::Sandbox;
pub use scenario::Scenario;
