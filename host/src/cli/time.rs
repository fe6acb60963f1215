//! Times as people write them.

use jiff::Timestamp;

/// Reads a time: RFC 3339.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write a time such as 2026-11-20T10:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn says_how_a_time_is_written() {
        assert!(parse("2026-11-20T10:00:00Z").is_ok() && parse("2026-11-20T10:00:00.5+02:00").is_ok());
        for text in ["", "yesterday", "1764000000", "2026-11-20"] {
            assert!(parse(text).unwrap_err().starts_with("write a time"), "{text}");
        }
    }
}
