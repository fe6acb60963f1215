//! One call: its body, its attempts, its time.

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::time::{sleep, timeout};
use wasmtime_wasi_http::{RequestOptions, WasiBody};
use waxwing_event::http::{HttpLimits, Method};

use super::{
    CallError, Client,
    connect::connect,
    idle::{Connection, Target},
    retry::{self, Ended, Stand, Verdict},
};

/// A call that is granted.
pub(crate) struct Call {
    /// Where it goes to.
    pub(crate) target: Target,
    /// What it asks for.
    pub(crate) method: Method,
    /// Path and headers, complete.
    pub(crate) head: request::Parts,
    /// What the guest writes.
    pub(crate) body: WasiBody,
    /// How long the guest waits for its parts.
    pub(crate) patience: RequestOptions,
    /// What it may use up.
    pub(crate) limits: HttpLimits,
    /// When the run has to end.
    pub(crate) run_ends: Instant,
}

/// What each attempt sends.
struct Sent {
    target: Target,
    method: Method,
    head: request::Parts,
    body: Bytes,
    patience: RequestOptions,
    limits: HttpLimits,
}

impl Client {
    /// Makes a call. Dropped, it closes its connection; the other side may have handled it all the same.
    pub(crate) async fn call(&self, call: Call) -> Result<Response<Bytes>, CallError> {
        let began = Instant::now();
        let Call { target, method, head, body, patience, limits, run_ends } = call;
        let origin = target.origin.clone();
        let whole = async {
            let body = written(&target, body, limits.request_bytes).await?;
            let sent = Sent { target, method, head, body, patience, limits };
            let ends = began.checked_add(limits.timeout).map_or(run_ends, |ends| ends.min(run_ends));
            self.attempts(&sent, ends).await
        };
        let timed_out = || CallError::Timeout { origin, timeout: limits.timeout };
        timeout(limits.timeout, whole).await.unwrap_or_else(|_| Err(timed_out()))
    }

    async fn attempts(&self, sent: &Sent, ends: Instant) -> Result<Response<Bytes>, CallError> {
        let attempts = sent.limits.attempts.get();
        let mut attempt = 1;
        loop {
            let response = self.attempt(sent).await;
            let ended = match &response {
                Ok(response) => retry::of_response(response.status(), response.headers(), SystemTime::now()),
                Err(error) if error.may_pass() => Ended::MayPass,
                Err(_) => Ended::Settled,
            };
            let left = ends.saturating_duration_since(Instant::now());
            match retry::verdict(Stand { attempt, attempts, left }, ended, rand::random()) {
                Verdict::Done => return response,
                Verdict::Again(pause) => sleep(pause).await,
            }
            attempt += 1;
        }
    }

    async fn attempt(&self, sent: &Sent) -> Result<Response<Bytes>, CallError> {
        let target = &sent.target;
        let _place = self.places.take(&target.origin).await;
        if let Some(mut connection) = self.idle.take(target) {
            match sent.exchange(&mut connection).await {
                Ok(response) => return Ok(self.keep(target, connection, response)),
                // The server may have closed it while it waited: that says nothing about the call.
                Err(lost) if lost.is_of_no_account(sent.method) => {}
                Err(lost) => return Err(lost.error),
            }
        }
        let within = sent.patience.connect_timeout.unwrap_or(sent.limits.timeout);
        let mut connection = connect(&self.tls, target, within).await?;
        let response = sent.exchange(&mut connection).await.map_err(|lost| lost.error)?;
        Ok(self.keep(target, connection, response))
    }

    /// Keeps the connection for the next call, unless it has become something else.
    fn keep(&self, target: &Target, connection: Connection, response: Response<Bytes>) -> Response<Bytes> {
        if !response.status().is_informational() {
            self.idle.put(target.clone(), connection);
        }
        response
    }
}

/// Why a connection gave no response.
struct LostCall {
    error: CallError,
    /// True where nothing was sent.
    unsent: bool,
}

impl LostCall {
    /// True where the call can be made on another connection as if nothing had happened.
    fn is_of_no_account(&self, method: Method) -> bool {
        self.unsent || (method.is_idempotent() && matches!(self.error, CallError::Lost(..)))
    }
}

impl Sent {
    async fn exchange(&self, connection: &mut Connection) -> Result<Response<Bytes>, LostCall> {
        let lost = |error: hyper::Error, unsent| LostCall { error: self.lost(error), unsent };
        connection.ready().await.map_err(|error| lost(error, true))?;
        let head = self.silent(
            self.patience.first_byte_timeout,
            connection.try_send_request(Request::from_parts(self.head.clone(), Full::new(self.body.clone()))),
        );
        let response = head.await.map_err(|error| LostCall { error, unsent: false })?;
        let response = response.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            lost(error.into_error(), unsent)
        })?;
        let (head, body) = response.into_parts();
        let body = self.read(body).await.map_err(|error| LostCall { error, unsent: false })?;
        Ok(Response::from_parts(head, body))
    }

    /// The whole body of a response.
    async fn read(&self, mut body: Incoming) -> Result<Bytes, CallError> {
        let limit = self.limits.response_bytes;
        let too_large = || CallError::ResponseTooLarge { origin: self.target.origin.clone(), limit };
        // There is none, whatever length it would have.
        if self.method == Method::Head {
            return Ok(Bytes::new());
        }
        if body.size_hint().lower() > limit {
            return Err(too_large());
        }
        let mut whole = Gathered::new(limit);
        while let Some(frame) = self.silent(self.patience.between_bytes_timeout, body.frame()).await? {
            let frame = frame.map_err(|error| self.lost(error))?;
            // Trailers are left out.
            if let Ok(data) = frame.into_data() {
                whole.add(data).map_err(|TooLarge| too_large())?;
            }
        }
        Ok(whole.bytes())
    }

    async fn silent<T>(
        &self,
        within: Option<Duration>,
        wait: impl Future<Output = T>,
    ) -> Result<T, CallError> {
        match within {
            None => Ok(wait.await),
            Some(within) => {
                let silent = |_| CallError::Silent(self.target.origin.clone(), within);
                timeout(within, wait).await.map_err(silent)
            }
        }
    }

    fn lost(&self, error: hyper::Error) -> CallError {
        let origin = self.target.origin.clone();
        if error.is_parse() { CallError::Protocol(origin, error) } else { CallError::Lost(origin, error) }
    }
}

/// What the guest writes, when it has finished.
async fn written(target: &Target, mut body: WasiBody, limit: u64) -> Result<Bytes, CallError> {
    let origin = || target.origin.clone();
    let mut whole = Gathered::new(limit);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| CallError::RequestBody(origin(), error))?;
        if let Ok(data) = frame.into_data() {
            whole.add(data).map_err(|TooLarge| CallError::RequestTooLarge { origin: origin(), limit })?;
        }
    }
    Ok(whole.bytes())
}

/// A body as it comes in; most come in one piece, which is not copied.
struct Gathered {
    limit: u64,
    first: Bytes,
    more: BytesMut,
}

/// It has more bytes than it may.
struct TooLarge;

impl Gathered {
    fn new(limit: u64) -> Gathered {
        Gathered { limit, first: Bytes::new(), more: BytesMut::new() }
    }

    fn add(&mut self, data: Bytes) -> Result<(), TooLarge> {
        let bytes = self.first.len().max(self.more.len()).saturating_add(data.len());
        if bytes as u64 > self.limit {
            return Err(TooLarge);
        }
        if self.first.is_empty() && self.more.is_empty() {
            self.first = data;
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&self.first);
            }
            self.more.extend_from_slice(&data);
        }
        Ok(())
    }

    fn bytes(self) -> Bytes {
        if self.more.is_empty() { self.first } else { self.more.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_have_as_many_bytes_as_its_limit() {
        let gathered = |limit, pieces: &[&'static str]| {
            let mut whole = Gathered::new(limit);
            let added = pieces.iter().try_for_each(|piece| whole.add(Bytes::from_static(piece.as_bytes())));
            added.ok().map(|()| whole.bytes())
        };
        assert_eq!(gathered(5, &[]).unwrap(), "");
        assert_eq!(gathered(5, &["abcd"]).unwrap(), "abcd");
        assert_eq!(gathered(5, &["ab", "cd", "e"]).unwrap(), "abcde");
        assert!(gathered(5, &["ab", "cd", "ef"]).is_none());
        assert!(gathered(5, &["abcdef"]).is_none());
    }
}
