//! What a call has come to.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::HttpError;

/// A response, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in whichever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, from JSON.
    ///
    /// # Errors
    /// [`HttpError::Data`], which is a rejection at a `?`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| HttpError::Data { url: self.url.clone(), error })
    }

    /// The response where its status is one of 200 to 299.
    ///
    /// # Errors
    /// [`HttpError::Status`]: at a `?`, a retry for 408, 425, 429 and 500 to 599 (after as long as the response asks for,
    /// in seconds), a rejection for every other.
    pub fn ok(self) -> Result<Self, HttpError> {
        if self.is_success() {
            return Ok(self);
        }
        let seconds = self.header("retry-after").and_then(|text| text.trim().parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        Err(HttpError::Status { url: self.url, status: self.status, retry_after })
    }
}
