//! A server's monitoring address, asked for the server's variables.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The port on which servers usually tell about themselves, where they do.
const USUAL_PORT: u16 = 8222;

/// The longest answer that is read: far longer than any server's.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// The usual monitoring address of the server at this NATS address.
pub(super) fn usual(server_url: &str) -> Option<String> {
    let rest = server_url.split_once("://").map_or(server_url, |(_, rest)| rest);
    let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => address,
    };
    (!host.is_empty()).then(|| format!("http://{host}:{USUAL_PORT}"))
}

/// Asks for the variables of the server at a monitoring address such as `http://127.0.0.1:8222`.
pub(super) async fn variables<T: DeserializeOwned>(url: &str, timeout: Duration) -> Result<T> {
    let asked = tokio::time::timeout(timeout, ask(url)).await;
    let way_out =
        || format!("{url} tells nothing: name a server's monitoring address, such as http://127.0.0.1:8222");
    let answer = asked.with_context(way_out)?.with_context(way_out)?;
    serde_json::from_slice(body(&answer).with_context(way_out)?).with_context(way_out)
}

async fn ask(url: &str) -> Result<Vec<u8>> {
    let rest = url.strip_prefix("http://").context("only http:// is understood")?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = if address.rsplit_once(':').is_some() { "" } else { ":8222" };
    let mut stream = TcpStream::connect(format!("{address}{port}")).await?;
    let path = path.trim_end_matches('/').trim_end_matches("varz").trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    let request = format!("GET {slash}{path}/varz HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn body(answer: &[u8]) -> Result<&[u8]> {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("the answer has no end of headers")?;
    let (head, rest) = answer.split_at(end);
    let status = head.split(|b| *b == b'\r').next().unwrap_or_default();
    ensure!(status.starts_with(b"HTTP/1."), "the answer is not HTTP");
    if status.split(|b| *b == b' ').nth(1) != Some(b"200") {
        bail!("the answer is `{}`", String::from_utf8_lossy(status));
    }
    Ok(rest.get(4..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_usual_address() {
        for (url, usual_url) in [
            ("nats://127.0.0.1:4222", "http://127.0.0.1:8222"),
            ("nats://user:p@ss@example.org:4222", "http://example.org:8222"),
            ("tls://[::1]:4222", "http://[::1]:8222"),
            ("example.org", "http://example.org:8222"),
        ] {
            assert_eq!(usual(url).as_deref(), Some(usual_url));
        }
        assert_eq!(usual("nats://"), None);
    }

    #[test]
    fn takes_the_body_of_a_good_answer_only() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}").unwrap(), b"{}");
        assert!(body(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
        assert!(body(b"SSH-2.0\r\n\r\n").is_err());
        assert!(body(b"HTTP/1.0 200 OK\r\n").is_err());
    }
}
