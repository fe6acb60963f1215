//! A call over `wasi:http`. A module whose handler makes none imports nothing of it.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::{HttpCall, HttpError, HttpResponse, shown};

/// The most that is read at once.
const READ_BYTES: u64 = 64 << 10;

/// Makes the call, and waits for the whole response.
pub(crate) fn send(call: HttpCall) -> Result<HttpResponse, HttpError> {
    let url = shown(&call.url);
    let request = request(&call, &url)?;
    let no_body = || HttpError::Invalid("it has no body to write to".to_owned());
    let body = request.body().map_err(|()| no_body())?;
    let options = RequestOptions::new();
    let timeout = call.timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let set = options.set_connect_timeout(timeout).and_then(|()| options.set_first_byte_timeout(timeout));
    set.map_err(|()| HttpError::Invalid("its timeout cannot be set".to_owned()))?;
    let coming = handle(request, Some(options)).map_err(|code| failure(&url, code))?;
    write(body, &call.body);
    coming.subscribe().block();
    // It is there, and taken once.
    let response = match coming.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(failure(&url, code)),
        Some(Err(())) | None => return Err(HttpError::Unreachable(format!("{url} has given none"))),
    };
    let headers = response.headers().entries();
    let headers =
        headers.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    Ok(HttpResponse {
        status: response.status(),
        headers: headers.collect(),
        body: read(&url, &response)?,
        url,
    })
}

fn request(call: &HttpCall, url: &str) -> Result<OutgoingRequest, HttpError> {
    let headers = call.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
    let fields = Fields::from_list(&headers.collect::<Vec<_>>())
        .map_err(|error| HttpError::Invalid(format!("one of its headers is not allowed ({error:?})")))?;
    let refused = |()| HttpError::Invalid(format!("`{} {url}`", call.method));
    let (scheme, authority, path) = parts(&call.url).ok_or(()).map_err(refused)?;
    let request = OutgoingRequest::new(fields);
    request.set_method(&method(&call.method)).map_err(refused)?;
    request.set_scheme(Some(&scheme)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(&path)).map_err(refused)?;
    Ok(request)
}

/// Scheme, authority, and path with query of an address; what follows a `#` is for nobody.
fn parts(url: &str) -> Option<(Scheme, &str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let rest = rest.split('#').next()?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some((scheme, authority, path))
}

fn method(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

/// Writes the body. A host that wants no more of it says why with its answer.
fn write(body: OutgoingBody, bytes: &[u8]) {
    let Ok(stream) = body.write() else { return };
    let whole = write_all(&stream, bytes).is_ok();
    drop(stream);
    if whole {
        let _ = OutgoingBody::finish(body, None);
    }
}

fn write_all(stream: &OutputStream, mut rest: &[u8]) -> Result<(), StreamError> {
    while !rest.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = rest.split_at(room.min(rest.len()));
        stream.write(now)?;
        rest = later;
    }
    Ok(())
}

fn read(url: &str, response: &IncomingResponse) -> Result<Vec<u8>, HttpError> {
    let taken = |()| HttpError::Unreachable(format!("{url} has given no body"));
    let body: IncomingBody = response.consume().map_err(taken)?;
    let stream = body.stream().map_err(taken)?;
    read_all(&stream)
        .map_err(|error| HttpError::Unreachable(format!("{url} has given half a body ({error:?})")))
}

fn read_all(stream: &InputStream) -> Result<Vec<u8>, StreamError> {
    let mut whole = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(bytes) => whole.extend_from_slice(&bytes),
            Err(StreamError::Closed) => return Ok(whole),
            Err(error) => return Err(error),
        }
    }
}

fn failure(url: &str, code: ErrorCode) -> HttpError {
    match code {
        ErrorCode::HttpRequestDenied => HttpError::Denied(url.to_owned()),
        ErrorCode::DestinationIpProhibited => HttpError::Private(url.to_owned()),
        ErrorCode::ConnectionLimitReached => HttpError::TooManyCalls,
        ErrorCode::HttpRequestBodySize(limit) | ErrorCode::HttpResponseBodySize(limit) => {
            HttpError::TooLarge(limit.unwrap_or_default())
        }
        ErrorCode::HttpRequestMethodInvalid | ErrorCode::HttpRequestUriInvalid => {
            HttpError::Invalid(format!("`{url}` ({code:?})"))
        }
        ErrorCode::ConnectionTimeout | ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            HttpError::TimedOut(url.to_owned())
        }
        code => HttpError::Unreachable(format!("{url} ({code:?})")),
    }
}
