//! Times as people write them.

use std::time::Duration;

use jiff::Timestamp;

use crate::config;

/// Reads a time: RFC 3339.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write a time such as 2026-11-20T10:00:00Z".to_owned())
}

/// Reads a length of time, such as `30s`.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "write a length of time such as 500ms, 30s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{length, parse};

    #[test]
    fn says_how_a_length_of_time_is_written() {
        assert!(length("0s").is_ok() && length("5m").is_ok());
        assert!(length("soon").unwrap_err().starts_with("write a length"));
    }

    #[test]
    fn says_how_a_time_is_written() {
        assert!(parse("2026-11-20T10:00:00Z").is_ok() && parse("2026-11-20T10:00:00.5+02:00").is_ok());
        for text in ["", "yesterday", "1764000000", "2026-11-20"] {
            assert!(parse(text).unwrap_err().starts_with("write a time"), "{text}");
        }
    }
}
