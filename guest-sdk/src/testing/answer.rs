//! What a server answers in a test.

use serde::Serialize;

use crate::{HttpError, HttpResponse};

/// What a server answers in a test: for [`Sandbox::http`](super::Sandbox::http).
///
/// ```
/// use waxwing_sdk::HttpError;
/// use waxwing_sdk::testing::Answer;
///
/// let ready: Result<Answer, HttpError> = Answer::text(503, "busy").header("retry-after", "5").into();
/// assert!(ready.is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Answer(HttpResponse);

impl Answer {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self(HttpResponse { url: String::new(), status, headers: Vec::new(), body: Vec::new() })
    }

    /// A text.
    pub fn text(status: u16, body: &str) -> Self {
        let mut answer = Self::status(status).header("content-type", "text/plain");
        answer.0.body = body.as_bytes().to_vec();
        answer
    }

    /// A value, as JSON.
    ///
    /// # Panics
    /// When JSON cannot say it.
    pub fn json(status: u16, body: &(impl Serialize + ?Sized)) -> Self {
        let mut answer = Self::status(status).header("content-type", "application/json");
        answer.0.body = serde_json::to_vec(body).expect("the answer as JSON");
        answer
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn of(self, url: &str) -> HttpResponse {
        HttpResponse { url: url.to_owned(), ..self.0 }
    }
}

impl From<Answer> for Result<Answer, HttpError> {
    fn from(answer: Answer) -> Self {
        Ok(answer)
    }
}
