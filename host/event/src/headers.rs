//! The headers of an entry.

use std::borrow::Cow;

use bytes::Bytes;

/// Named text values beside an entry's payload, in the order in which they were written.
///
/// Names keep their case and are compared without regard to it. A publisher can store a header block
/// that is no text, or that has lines without a colon; such a block is kept as [`Headers::broken`] bytes,
/// so that it can be shown and stored again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    pairs: Vec<(Cow<'static, str>, String)>,
    broken: Option<Bytes>,
}

impl Headers {
    /// No headers.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Room for `count` headers.
    pub fn with_capacity(count: usize) -> Headers {
        Headers { pairs: Vec::with_capacity(count), broken: None }
    }

    /// A header block that could not be read.
    pub fn from_broken(block: Bytes) -> Headers {
        Headers { pairs: Vec::new(), broken: Some(block) }
    }

    /// The block as it came, where it could not be read.
    pub fn broken(&self) -> Option<&Bytes> {
        self.broken.as_ref()
    }

    /// Adds a header after those that are there.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.pairs.push((name.into(), value.into()));
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// The pairs themselves, for a writer that wants to keep names which cost nothing to copy.
    pub fn into_pairs(self) -> Vec<(Cow<'static, str>, String)> {
        self.pairs
    }

    /// True without any header.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.broken.is_none()
    }

    /// Bytes of names and values, and four more for each header as the protocol adds them.
    pub fn size_bytes(&self) -> usize {
        let text: usize = self.pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        text + self.broken.as_ref().map_or(0, Bytes::len)
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Headers {
        Headers { pairs: pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect(), broken: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_in_any_case_and_keeps_their_order() {
        let headers: Headers = [("CE-Id", "1"), ("b", "2"), ("ce-id", "3")].into_iter().collect();
        assert_eq!(headers.get("ce-id"), Some("1"));
        assert_eq!(headers.iter().count(), 3);
        assert_eq!(headers.size_bytes(), 5 + 1 + 4 + 1 + 1 + 4 + 5 + 1 + 4);
    }
}
