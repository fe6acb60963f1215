//! What a handler's file imports: `use waxwing_sdk::prelude::*;`.
//!
//! ```
//! use waxwing_sdk::prelude::*;
//!
//! #[waxwing_sdk::handler]
//! fn quiet(_event: Event<Value>, _cx: &mut Context) -> Outcome {
//!     Ok(())
//! }
//! ```

pub use std::time::Duration;

pub use serde::{Deserialize, Serialize};
pub use serde_json::{Value, json};

pub use crate::{Aggregate, Context, Event, Failure, Level, OrFailure, Outcome, Past, Raw};
