//! A handler's own state: one value a key.

use std::error::Error;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;

/// The handler's own state, from [`Context::state`].
///
/// A run reads its own writes; nobody else sees them before the commit. When a value that the run has
/// read was changed meanwhile, the host drops the run's effects and runs the event again.
///
/// Keys are 1 to 200 bytes of any text.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// # let mut cx = Context::for_test();
/// cx.state().set("event/7", &json!({ "seats": 40 }))?;
/// assert_eq!(cx.state().get("event/7")?, Some(json!({ "seats": 40 })));
/// assert_eq!(cx.state().keys("event/")?, ["event/7"]);
/// cx.state().delete("event/7")?;
/// assert_eq!(cx.state().get::<Value>("event/7")?, None);
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug)]
pub struct State<'a> {
    cx: &'a mut Context,
}

impl<'a> State<'a> {
    pub(crate) fn new(cx: &'a mut Context) -> Self {
        Self { cx }
    }

    /// The value of a key, from JSON; none when it was never set, or deleted.
    ///
    /// # Errors
    /// An invalid key, a value that is not a `T`, or a log that cannot be read now.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.get_bytes(key)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(StateError::json(key, error)),
        }
    }

    /// The value of a key as it is stored.
    ///
    /// # Errors
    /// An invalid key, or a log that cannot be read now.
    pub fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.cx.host.state_get(key)
    }

    /// Sets the value of a key, as JSON.
    ///
    /// # Errors
    /// An invalid key, a value that JSON cannot say, or a limit that is reached.
    pub fn set(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), StateError> {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.set_bytes(key, &bytes),
            Err(error) => Err(StateError::json(key, error)),
        }
    }

    /// Sets the value of a key to these bytes.
    ///
    /// # Errors
    /// An invalid key, or a limit that is reached.
    pub fn set_bytes(&mut self, key: &str, value: &[u8]) -> Result<(), StateError> {
        self.cx.host.state_set(key, value)
    }

    /// Deletes a key; deleting one that is not there changes nothing.
    ///
    /// # Errors
    /// An invalid key, or a limit that is reached.
    pub fn delete(&mut self, key: &str) -> Result<(), StateError> {
        self.cx.host.state_delete(key)
    }

    /// The keys that start with a prefix, sorted. It reads the log: for small sets of keys.
    ///
    /// # Errors
    /// A log that cannot be read now.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>, StateError> {
        self.cx.host.state_keys(prefix)
    }
}

/// Why state could not be read or written.
///
/// ```
/// use waxwing_sdk::{Context, StateError};
///
/// let mut cx = Context::for_test();
/// let refused = cx.state().set("", &1);
/// assert!(matches!(refused, Err(StateError::InvalidKey(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// The key is empty or too long; with the host's words.
    InvalidKey(String),
    /// The value is larger than this limit, in bytes.
    TooLarge(u64),
    /// The run has reached this many effects, or this many bytes of them.
    TooMany(u64),
    /// The log could not be read. Trying the event again may help, so `?` asks for it.
    Unavailable(String),
    /// The value under this key is not what the handler expects, or JSON cannot say it.
    Json {
        /// The key.
        key: String,
        /// What serde says.
        source: serde_json::Error,
    },
}

impl StateError {
    #[cold]
    fn json(key: &str, source: serde_json::Error) -> Self {
        Self::Json { key: key.to_owned(), source }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(why) => write!(f, "state key is not allowed: {why}"),
            Self::TooLarge(limit) => write!(f, "state value is larger than {limit} bytes"),
            Self::TooMany(limit) => write!(f, "the run has reached its limit of effects, {limit}"),
            Self::Unavailable(why) => write!(f, "state cannot be read now: {why}"),
            Self::Json { key, .. } => write!(f, "state `{key}` is not what the handler expects"),
        }
    }
}

impl Error for StateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Json { source, .. } => Some(source),
            _ => None,
        }
    }
}
