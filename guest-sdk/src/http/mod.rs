//! HTTP calls: what lies outside of the log.

mod error;
mod response;
#[cfg(target_family = "wasm")]
mod wasi;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::context::Context;

pub use error::HttpError;
pub use response::HttpResponse;
#[cfg(target_family = "wasm")]
pub(crate) use wasi::send;

/// HTTP calls of a run, from [`Context::http`].
///
/// **A call is no effect of the run.** It is made at once, it is not undone where the run fails, and a run that is tried
/// again makes it again: so the host gives each call that changes something an `Idempotency-Key`, which is the same
/// in every attempt. A server that honours it does the thing once.
///
/// A handler may call what its manifest grants with `http`, and nothing else. A redirect is not followed: the answer is
/// the redirect.
///
/// ```
/// use waxwing_sdk::prelude::*;
/// use waxwing_sdk::testing::{Answer, Sandbox, event};
///
/// #[derive(Deserialize)]
/// struct Charge {
///     id: String,
/// }
///
/// fn pay(event: Event<Value>, cx: &mut Context) -> Outcome {
///     let call = cx.http().post("https://api.example.com/charges").json(&event.data);
///     let charge: Charge = call.send()?.ok()?.json()?;
///     cx.emit("payments.charged", &charge.id)
/// }
///
/// let mut sandbox = Sandbox::new().http(|_call| Answer::json(201, &json!({ "id": "ch_1" })).into());
/// let run = sandbox.run(pay, event("orders.placed").json(&json!({ "amount": 5 })));
/// assert_eq!(run.only::<String>("payments.charged"), "ch_1");
/// assert_eq!(run.calls()[0].url, "https://api.example.com/charges");
/// ```
pub struct Http<'a> {
    cx: &'a mut Context,
}

impl<'a> Http<'a> {
    pub(crate) fn new(cx: &'a mut Context) -> Self {
        Self { cx }
    }

    /// Starts a call with this method of this address.
    pub fn call(self, method: &str, url: &str) -> HttpRequest<'a> {
        let call = HttpCall {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        };
        HttpRequest { cx: self.cx, call, unsaid: None }
    }

    /// Starts a `GET`.
    pub fn get(self, url: &str) -> HttpRequest<'a> {
        self.call("GET", url)
    }

    /// Starts a `POST`.
    pub fn post(self, url: &str) -> HttpRequest<'a> {
        self.call("POST", url)
    }

    /// Starts a `PUT`.
    pub fn put(self, url: &str) -> HttpRequest<'a> {
        self.call("PUT", url)
    }

    /// Starts a `PATCH`.
    pub fn patch(self, url: &str) -> HttpRequest<'a> {
        self.call("PATCH", url)
    }

    /// Starts a `DELETE`.
    pub fn delete(self, url: &str) -> HttpRequest<'a> {
        self.call("DELETE", url)
    }
}

impl fmt::Debug for Http<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// A call as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// Such as `POST`.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Names and values, in the order in which they were set. What the host adds is not among them.
    pub headers: Vec<(String, String)>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
    /// How long the handler waits for the response to begin; none: as long as its manifest says.
    pub timeout: Option<Duration>,
}

/// An address as errors tell it: without what may be a secret, a user before the host and the query.
pub(crate) fn shown(url: &str) -> String {
    let address = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// A call that is being put together; [`send`](Self::send) makes it.
#[derive(Debug)]
#[must_use = "a call is made by `send`"]
pub struct HttpRequest<'a> {
    cx: &'a mut Context,
    call: HttpCall,
    /// Why the body cannot be said, so that only the last step can fail.
    unsaid: Option<serde_json::Error>,
}

impl HttpRequest<'_> {
    /// Adds a header. An `Idempotency-Key` of your own takes the host's place: make it of the event, never of chance.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.call.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body, as JSON.
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.call.body = body,
            Err(error) => self.unsaid = Some(error),
        }
        self.header("content-type", "application/json")
    }

    /// The body, as it is. Say what it is with a header `content-type`.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.call.body = body.into();
        self
    }

    /// How long to wait for a connection, and then for the response to begin. The manifest's `timeout` holds too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.timeout = Some(timeout);
        self
    }

    /// Makes the call, and waits for the whole response. The time counts for the run's deadline.
    ///
    /// A response of any status is one: [`HttpResponse::ok`] makes an error of those that are.
    ///
    /// # Errors
    /// See [`HttpError`]; at a `?`, what may pass is a retry, and everything else a rejection.
    pub fn send(self) -> Result<HttpResponse, HttpError> {
        match self.unsaid {
            Some(error) => Err(HttpError::Json(error)),
            None => self.cx.host.http(self.call),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn tells_no_secrets() {
        assert_eq!(shown("https://me:pw@a.b:1/c/d?token=1#e"), "https://a.b:1/c/d");
        assert_eq!(shown("https://a?token=me@b/c"), "https://a");
        assert_eq!(shown("nonsense?x"), "://nonsense");
    }
}
