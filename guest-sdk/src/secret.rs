//! Secrets of the host, which a handler may read by name.

use std::error::Error;
use std::fmt;
use std::hint::black_box;

/// A secret's value, from [`Context::secret`](crate::Context::secret).
///
/// It has no text of its own: to show it, or to emit it, is a handler's own deed.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::{Answer, Sandbox, event};
///
/// fn pay(event: Event<Value>, cx: &mut Context) -> Outcome {
///     let key = cx.secret("payment-api-key")?;
///     let bearer = format!("Bearer {}", key.text()?);
///     cx.http().post("https://api.example.com/charges").header("authorization", &bearer).json(&event.data).send()?.ok()?;
///     Ok(())
/// }
///
/// let mut sandbox = Sandbox::new().secret("payment-api-key", "sk_1\n").http(|_| Answer::status(201).into());
/// let run = sandbox.run(pay, event("orders.placed").json(&json!({ "amount": 5 })));
/// assert_eq!(run.calls()[0].headers[0].1, "Bearer sk_1");
/// ```
pub struct Secret {
    name: String,
    value: Vec<u8>,
}

impl Secret {
    pub(crate) fn new(name: &str, value: Vec<u8>) -> Self {
        Self { name: name.to_owned(), value }
    }

    /// The value, byte for byte.
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }

    /// The value as a text, without the line's end that a file often ends with.
    ///
    /// # Errors
    /// [`SecretError::NotText`].
    pub fn text(&self) -> Result<&str, SecretError> {
        let text = std::str::from_utf8(&self.value).map_err(|_| SecretError::NotText(self.name.clone()))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(text.strip_suffix('\r').unwrap_or(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.value.fill(0);
        // So that it is not left out as of no use.
        black_box(&self.value);
    }
}

/// Why a secret cannot be read. At a `?`, [`Unavailable`](Self::Unavailable) is a retry, and everything else a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// The manifest does not grant it; in a test, [`Sandbox::secret`](crate::testing::Sandbox::secret) does not.
    NotGranted(String),
    /// The host cannot read it now; its log says why.
    Unavailable(String),
    /// It is no text of UTF-8.
    NotText(String),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(name) => write!(f, "secret `{name}` is not granted"),
            Self::Unavailable(name) => write!(f, "secret `{name}` cannot be read on this host"),
            Self::NotText(name) => write!(f, "secret `{name}` is no text"),
        }
    }
}

impl Error for SecretError {}
