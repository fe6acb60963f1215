//! Why a call has no response.

use std::{io, time::Duration};

use tokio_rustls::rustls;
use wasmtime_wasi_http::Error;
use waxwing_event::{
    http::Method,
    origin::{Origin, OriginError},
};

/// Why a call has no response: for the host's log. The guest gets a code of `wasi:http`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(
        "HTTP calls are refused here: a replay, a test, a rebuild, a shadow and a dry run reach nothing outside"
    )]
    Rehearsed,
    #[error("`{0}` may not be called: add \"{0}\" to `http` in [handlers.{1}.grants]")]
    NotGranted(Origin, String),
    #[error("{0} of `{1}` is not granted: add \"{0}\" to its `methods` in `http` of [handlers.{2}.grants]")]
    MethodNotGranted(Method, Origin, String),
    #[error("{0} can be granted to no handler: GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE can be")]
    NoMethod(String),
    #[error("the address of an HTTP call is refused: {0}")]
    NoOrigin(#[source] OriginError),
    #[error(
        "the run has made its {0} HTTP calls: raise `max-calls` in the handler's `http`, or call less often"
    )]
    TooManyCalls(u32),
    #[error(
        "the body for `{origin}` has more than {limit} bytes: raise `request-bytes` in the handler's `http`"
    )]
    RequestTooLarge { origin: Origin, limit: u64 },
    #[error("the body for `{0}` did not come to its end: {1}")]
    RequestBody(Origin, #[source] Error),
    #[error("`{0}` has no address: {1}")]
    NoAddress(Origin, #[source] io::Error),
    #[error(
        "`{0}` is on this machine or its network: where it is meant, write {{ origin = \"{0}\", private = true }} in `http`"
    )]
    Private(Origin),
    #[error("`{0}` cannot be connected to: {1}")]
    Connect(Origin, #[source] io::Error),
    #[error("there is no connection to `{0}` within {1:?}")]
    ConnectTimeout(Origin, Duration),
    #[error("`{0}` has a certificate that is not to be trusted: {1}")]
    Certificate(Origin, rustls::CertificateError),
    #[error("there is no TLS with `{0}`: {1}")]
    Tls(Origin, #[source] io::Error),
    #[error("this system has no root certificates, which `{0}` needs: install them, or set SSL_CERT_FILE")]
    NoRoots(Origin),
    #[error("the connection to `{0}` was lost: {1}")]
    Lost(Origin, #[source] hyper::Error),
    #[error("`{0}` does not speak HTTP/1.1: {1}")]
    Protocol(Origin, #[source] hyper::Error),
    #[error("`{0}` has not answered within {1:?}")]
    Silent(Origin, Duration),
    #[error(
        "`{origin}` has not answered in whole within {timeout:?}: raise `timeout` in the handler's `http`"
    )]
    Timeout { origin: Origin, timeout: Duration },
    #[error(
        "the response of `{origin}` has more than {limit} bytes: raise `response-bytes` in the handler's `http`"
    )]
    ResponseTooLarge { origin: Origin, limit: u64 },
}

impl CallError {
    /// True where another attempt may have a response.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            CallError::NoAddress(..)
                | CallError::Connect(..)
                | CallError::ConnectTimeout(..)
                | CallError::Tls(..)
                | CallError::Lost(..)
                | CallError::Silent(..)
        )
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        let unreachable = |source: &io::Error| match source.kind() {
            io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            _ => Error::DestinationUnavailable,
        };
        match error {
            CallError::Rehearsed | CallError::NotGranted(..) | CallError::MethodNotGranted(..) => {
                Error::HttpRequestDenied
            }
            CallError::NoMethod(_) => Error::HttpRequestMethodInvalid,
            CallError::NoOrigin(_) => Error::HttpRequestUriInvalid,
            CallError::TooManyCalls(..) => Error::ConnectionLimitReached,
            CallError::RequestTooLarge { limit, .. } => Error::HttpRequestBodySize(Some(limit)),
            CallError::RequestBody(_, source) => source,
            CallError::NoAddress(..) => Error::DnsError { rcode: None, info_code: None },
            CallError::Private(_) => Error::DestinationIpProhibited,
            CallError::Connect(_, source) => unreachable(&source),
            CallError::ConnectTimeout(..) => Error::ConnectionTimeout,
            CallError::Certificate(..) => Error::TlsCertificateError,
            CallError::Tls(..) => Error::TlsProtocolError,
            CallError::NoRoots(_) => Error::ConfigurationError,
            CallError::Lost(..) => Error::ConnectionTerminated,
            CallError::Protocol(..) => Error::HttpProtocolError,
            CallError::Silent(..) => Error::ConnectionReadTimeout,
            CallError::Timeout { .. } => Error::HttpResponseTimeout,
            CallError::ResponseTooLarge { limit, .. } => Error::HttpResponseBodySize(Some(limit)),
        }
    }
}
