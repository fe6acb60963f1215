//! A setting that is not what the handler expects.

use std::error::Error;
use std::fmt;

/// A setting that is there and is not what the handler expects.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::{Sandbox, event};
///
/// fn watch(_event: Event<Value>, cx: &mut Context) -> Outcome {
///     let _percent: u32 = cx.setting_as("percent")?.unwrap_or(10);
///     Ok(())
/// }
///
/// let run = Sandbox::new().setting("percent", "ten").run(watch, event("prices.updated"));
/// assert_eq!(
///     run.failure().unwrap().reason(),
///     "setting `percent` is `ten`: invalid digit found in string",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    name: String,
    value: String,
    cause: String,
}

impl SettingError {
    #[cold]
    pub(crate) fn new(name: &str, value: String, cause: &dyn fmt::Display) -> Self {
        Self { name: name.to_owned(), value, cause: cause.to_string() }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, cause } = self;
        write!(f, "setting `{name}` is `{value}`: {cause}")
    }
}

impl Error for SettingError {}
