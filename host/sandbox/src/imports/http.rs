//! HTTP: each call is checked against the handler's grants and counted, gets its key, and is then made by the client
//! that all handlers share.
//!
//! A guest waits for it as for a timer: its worker runs others meanwhile, and the wait counts for its deadline. When
//! the deadline ends the run, its calls end with it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, header::HOST, header::USER_AGENT, request};
use http_body_util::{BodyExt, Full};
use tracing::Level;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};
use waxwing_event::{
    Event,
    http::Method,
    origin::{Origin, Scheme},
};

use crate::{
    guest::Guest,
    handler::Loaded,
    http::{Call, CallError, Caller, Client, KEY_HEADER, Keys, Target, key_value},
    lines::Lines,
    slice,
};

/// The most that a guest may write to a request's body at once; of it, a few pieces may wait to be taken.
const CHUNK_BYTES: usize = 16 << 10;

/// The most bytes of a request's or a response's headers, as they stand in memory.
const FIELD_BYTES: usize = 64 << 10;

/// What a call without one says of who it comes from.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("waxwing/", env!("CARGO_PKG_VERSION")));

/// Attributes of an event that its calls pass on as headers of the same name (W3C Trace Context).
const TRACE: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// Links `wasi:http`, without what serves.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.outbound()
    }
}

/// The HTTP of one instance; made when it is first asked for.
pub(crate) struct Outbound {
    /// What `wasi:http` itself keeps.
    pub(crate) context: WasiHttpCtx,
    /// The host's part.
    pub(crate) calls: Calls,
}

impl Outbound {
    /// HTTP of an instance in the midst of this run.
    pub(crate) fn new(handler: Arc<Loaded>, event: Option<Arc<Event>>, lines: Lines) -> Outbound {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELD_BYTES);
        Outbound { context, calls: Calls { handler, lines, event, made: 0, keys: Keys::default() } }
    }

    /// Begins a run.
    pub(crate) fn begin(&mut self, event: Arc<Event>) {
        self.calls.event = Some(event);
        self.calls.made = 0;
        self.calls.keys = Keys::default();
    }
}

/// The calls of a run.
pub(crate) struct Calls {
    handler: Arc<Loaded>,
    lines: Lines,
    event: Option<Arc<Event>>,
    made: u32,
    keys: Keys,
}

impl Calls {
    /// Who makes the call, and the call; an error where it is not granted.
    fn granted(
        &mut self,
        request: http::Request<WasiBody>,
        patience: Option<RequestOptions>,
    ) -> Result<(Arc<Client>, Call), CallError> {
        let client = self.handler.surroundings.client.clone().ok_or(CallError::Rehearsed)?;
        let limits = self.handler.http;
        self.made = self.made.saturating_add(1);
        if self.made > limits.max_calls {
            return Err(CallError::TooManyCalls(limits.max_calls));
        }
        let (mut head, body) = request.into_parts();
        let origin = origin(&head.uri).map_err(CallError::NoOrigin)?;
        let name = || self.handler.name.to_string();
        let granted = self.handler.grants.http.iter().find(|grant| grant.origin == origin);
        let Some(grant) = granted else { return Err(CallError::NotGranted(origin, name())) };
        let method: Method =
            head.method.as_str().parse().map_err(|_| CallError::NoMethod(head.method.to_string()))?;
        if !grant.allows(method) {
            return Err(CallError::MethodNotGranted(method, origin, name()));
        }
        let target = Target { origin, reach: grant.reach };
        self.complete(&target.origin, method, &mut head);
        let left = slice::left().unwrap_or(Duration::ZERO);
        let run_ends = Instant::now() + left;
        let patience = patience.unwrap_or_default();
        Ok((client, Call { target, method, head, body, patience, limits, run_ends }))
    }

    /// Adds what the host says itself. A key that the guest has set stays: it may know a better one.
    fn complete(&mut self, origin: &Origin, method: Method, head: &mut request::Parts) {
        let path = head.uri.path().to_owned();
        let sent = head.uri.path_and_query().map_or("/", |sent| sent.as_str());
        head.uri = sent.parse().unwrap_or_else(|_| http::Uri::from_static("/"));
        let headers = &mut head.headers;
        if let Ok(host) = HeaderValue::from_str(&origin.authority()) {
            headers.insert(HOST, host);
        }
        headers.entry(USER_AGENT).or_insert(AGENT);
        let Some(event) = &self.event else { return };
        for name in TRACE {
            let value = event.extension(name.as_str()).and_then(|value| HeaderValue::from_str(value).ok());
            if let (Some(value), false) = (value, headers.contains_key(&name)) {
                headers.insert(name, value);
            }
        }
        if !method.is_safe() {
            let app = self.handler.surroundings.app.as_str();
            let caller = Caller { app, handler: self.handler.name.as_str(), event };
            // Counted in any case: the key of one call does not depend on another's.
            let key = key_value(self.keys.next(caller, method, origin, &path));
            if let (Some(key), false) = (key, headers.contains_key(KEY_HEADER)) {
                headers.insert(KEY_HEADER, key);
            }
        }
    }
}

type Answered = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Calls {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let what = format!("{} {}", request.method(), shown(request.uri()));
        let granted = self.granted(request, options);
        let (lines, event) = (self.lines.clone(), self.event.clone());
        Box::new(async move {
            let answered = match granted {
                Ok((client, call)) => client.call(call).await,
                Err(refused) => Err(refused),
            };
            match answered {
                Ok(response) => {
                    let response =
                        response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
                    Ok((response, Box::new(async { Ok(()) }) as _))
                }
                Err(error) => {
                    lines.write_of(event.as_ref(), Level::WARN, &format!("{what}: {error}"));
                    Err(error.into())
                }
            }
        })
    }
}

/// Where a call goes to. What names a user is no origin.
fn origin(uri: &http::Uri) -> Result<Origin, waxwing_event::origin::OriginError> {
    let scheme = if uri.scheme() == Some(&http::uri::Scheme::HTTP) { Scheme::Http } else { Scheme::Https };
    Origin::of(scheme, uri.authority().map_or("", |authority| authority.as_str()))
}

/// An address without its query, which may hold what is nobody's business.
fn shown(uri: &http::Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    // A name and a password before the host are left out.
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", uri.path())
}
