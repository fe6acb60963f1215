//! Headers on their way between an entry and NATS.
//!
//! The client keeps headers in a hash map, so their order is lost on the way; they are given in the order
//! of their names, to be the same each time.

use std::borrow::Cow;

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;
use waxwing_event::Headers;

/// What the server adds where only headers are read; no header of the entry.
const MESSAGE_SIZE: &str = "Nats-Msg-Size";

/// Headers for the client. Their form has been checked.
pub(super) fn to_nats(headers: Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers.into_pairs() {
        let name = match name {
            Cow::Borrowed(name) => HeaderName::from_static(name),
            Cow::Owned(name) => match HeaderName::try_from(name) {
                Ok(name) => name,
                Err(_) => continue,
            },
        };
        map.append(name, value);
    }
    map
}

/// Headers that the client has read.
pub(super) fn from_nats(map: &HeaderMap) -> Headers {
    let mut sorted: Vec<_> = map.iter().map(|(name, values)| (AsRef::<str>::as_ref(name), values)).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut headers = Headers::with_capacity(sorted.len());
    for (name, values) in sorted {
        if name == MESSAGE_SIZE {
            continue;
        }
        for value in values {
            headers.push(known(name), value.as_str());
        }
    }
    headers
}

/// Names that come with nearly every entry, which so cost no memory of their own.
const KNOWN: [&str; 14] = [
    "Nats-Expected-Last-Subject-Sequence",
    "Nats-Expected-Last-Subject-Sequence-Subject",
    "Nats-Rollup",
    "Nats-TTL",
    "ce-causationid",
    "ce-correlationid",
    "ce-datacontenttype",
    "ce-id",
    "ce-source",
    "ce-specversion",
    "ce-time",
    "ce-traceparent",
    "ce-type",
    "wx-mark",
];

fn known(name: &str) -> Cow<'static, str> {
    match KNOWN.iter().find(|known| **known == name) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(name.to_owned()),
    }
}

/// Reads a stored header block as the client would; what would end the client's connection is broken.
pub fn from_block(block: Bytes) -> Headers {
    match parsed(&block) {
        Some(mut pairs) => {
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            pairs.into_iter().collect()
        }
        None => Headers::from_broken(block),
    }
}

fn parsed(block: &[u8]) -> Option<Vec<(String, String)>> {
    if block.is_empty() {
        return Some(Vec::new());
    }
    let mut lines = std::str::from_utf8(block).ok()?.lines().peekable();
    let status = lines.next()?.strip_prefix("NATS/1.0")?.trim();
    if !status.is_empty() && !is_status(status.split(' ').next().unwrap_or_default().trim()) {
        return None;
    }
    let mut pairs = Vec::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':')?;
        let name: HeaderName = name.parse().ok()?;
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        value.truncate(value.trim_end().len());
        // A lone carriage return makes the client panic.
        if value.contains('\r') {
            return None;
        }
        pairs.push((name.to_string(), value));
    }
    Some(pairs)
}

fn is_status(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()) && !code.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &[u8]) -> Headers {
        from_block(Bytes::copy_from_slice(text))
    }

    #[test]
    fn reads_what_the_client_reads() {
        assert_eq!(block(b""), Headers::new());
        let read = block(b"NATS/1.0\r\nb: 2 \r\na:1\r\nb: 3\r\n\r\n");
        let pairs: Vec<_> = read.iter().collect();
        assert_eq!(pairs, [("a", "1"), ("b", "2"), ("b", "3")]);
        assert_eq!(block("NATS/1.0 503\u{2003} x\r\n: 1\r\n\r\n".as_bytes()).get(""), Some("1"));
    }

    #[test]
    fn keeps_what_cannot_be_read() {
        for bad in [
            &b"NATS/1.0\r\na: \xff\r\n\r\n"[..],
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"NATS/1.0 9\r\n\r\n",
            b"NATS/1.0\r\na: b\rc\r\n\r\n",
        ] {
            assert_eq!(block(bad).broken().map(|b| &b[..]), Some(bad));
        }
    }

    #[test]
    fn goes_there_and_back() {
        let headers: Headers = [("a", "1"), ("a", "2"), ("ce-id", "x: y")].into_iter().collect();
        assert_eq!(from_nats(&to_nats(headers.clone())), headers);
    }
}
