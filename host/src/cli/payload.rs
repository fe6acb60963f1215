//! What commands send: data as it was given, its media type, further headers.

use std::io::{self, Read};

use anyhow::{Context, Result};

/// The data of an argument; `-` reads it from standard input.
pub(super) fn read(given: Option<&str>) -> Result<Vec<u8>> {
    match given {
        Some("-") => {
            let mut data = Vec::new();
            io::stdin().read_to_end(&mut data).context("standard input cannot be read")?;
            Ok(data)
        }
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => Ok(Vec::new()),
    }
}

/// What data looks like: JSON, text or bytes; nothing where it is empty.
pub(super) fn media_type(data: &[u8]) -> Option<String> {
    let media = match data {
        [] => return None,
        data if serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok() => "application/json",
        data if std::str::from_utf8(data).is_ok() => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    Some(media.to_owned())
}

/// A header as it is given: `NAME:VALUE`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write NAME:VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_media_type_of_data() {
        let named = |data: &[u8]| media_type(data).unwrap_or_default();
        assert_eq!(named(b""), "");
        assert_eq!(named(b"{\"a\":1}"), "application/json");
        assert_eq!(named(b"hello"), "text/plain; charset=utf-8");
        assert_eq!(named(b"\xff"), "application/octet-stream");
    }
}
