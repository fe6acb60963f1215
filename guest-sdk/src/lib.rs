//! Write event handlers for Waxwing.
//!
//! A handler is a function from an event to effects: the events that it emits and the state that it
//! sets. One run is a transaction. When the function returns `Ok`, all its effects are written in one
//! atomic step, together with the mark that the event was handled; otherwise none is.
//!
//! ```
//! use waxwing_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "camelCase")]
//! struct PriceUpdated {
//!     product_id: String,
//!     new_price: f64,
//! }
//!
//! #[derive(Serialize, Deserialize, Default)]
//! struct Basket {
//!     total: f64,
//! }
//!
//! #[waxwing_sdk::handler]
//! fn reprice(event: Event<PriceUpdated>, cx: &mut Context) -> Outcome {
//!     let mut basket: Basket = cx.state().get(event.key())?.unwrap_or_default();
//!     basket.total = event.data.new_price;
//!     cx.state().set(event.key(), &basket)?;
//!     cx.emit("baskets.repriced", &basket)
//! }
//!
//! // The function stays a function: test it natively, without a server.
//! use waxwing_sdk::testing::{Sandbox, event};
//!
//! let mut sandbox = Sandbox::new();
//! let run = sandbox.run(
//!     reprice,
//!     event("prices.updated").key("p1").json(&json!({ "productId": "p1", "newPrice": 2.5 })),
//! );
//! assert!(run.is_done());
//! assert_eq!(run.emitted()[0].subject, "baskets.repriced");
//! assert_eq!(sandbox.get::<Basket>("p1").unwrap().total, 2.5);
//! ```
//!
//! Build it with `--target wasm32-wasip2` as a `cdylib`. A crate has one handler; it may listen to
//! several types of event (see [`Raw`]).
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )
)]

// The handler macro names this crate by its full path.
#[cfg(test)]
extern crate self as waxwing_sdk;

#[doc(hidden)]
pub mod __private;
mod aggregate;
#[doc(hidden)]
pub mod bindings;
mod context;
mod data;
mod emit;
mod event;
mod failure;
#[cfg_attr(target_family = "wasm", path = "host/component.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "host/memory.rs")]
mod host;
mod http;
mod log;
mod or_failure;
pub mod prelude;
mod reply;
mod saga;
mod secret;
mod settings;
mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod timer;

pub use aggregate::{Aggregate, AggregateError, Loaded, Past};
pub use context::Context;
pub use data::{Data, DataError, Raw};
pub use emit::{EmitError, NewEvent};
pub use event::Event;
pub use failure::{Failure, Outcome};
pub use http::{Http, HttpCall, HttpError, HttpRequest, HttpResponse};
pub use log::Level;
pub use or_failure::OrFailure;
pub use reply::{NewReply, ReplyError};
pub use saga::{Plan, Saga, Step, saga};
pub use secret::{Secret, SecretError};
pub use settings::SettingError;
pub use state::{State, StateError};
pub use timer::{Timer, TimerError};
/// Makes a function the handler of this module.
///
/// The function takes an [`Event<T>`](Event) and a [`&mut Context`](Context) and returns an
/// [`Outcome`]. It stays callable as it is, so that native tests run it; for WebAssembly it also
/// becomes the component's export. A crate has one handler.
///
/// `T` is what the event's data becomes: any type that implements serde's `Deserialize` (the data is
/// JSON), or [`Raw`], or a type with an own [`Data`] implementation. Data that is not a `T` rejects
/// the event before the function is called.
///
/// ```
/// use waxwing_sdk::prelude::*;
///
/// #[derive(Deserialize)]
/// struct Ping {
///     n: u32,
/// }
///
/// #[waxwing_sdk::handler]
/// fn pong(event: Event<Ping>, cx: &mut Context) -> Outcome {
///     cx.emit("pings.answered", &event.data.n)
/// }
/// ```
///
/// `#[handler(aggregate = Account)]` names the [`Aggregate`] of which the handler keeps the histories: so a host can
/// ask what one of them was at any time (`waxwing state get account 7 --at …`).
pub use waxwing_sdk_macros::handler;

// Re-exported so that authors need not name them in their manifest; `#[derive(Deserialize)]` still
// wants `serde` itself as a dependency.
pub use serde;
pub use serde_json;
