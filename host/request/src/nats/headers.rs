//! Headers on their way between a message and NATS.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use waxwing_event::Headers;

/// Headers for the client. What it does not take is left out; nothing of ours is, but somebody else may have written
/// to the log.
pub(super) fn to_nats(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            map.append(name, value);
        }
    }
    map
}

/// Headers that the client has read, in the order of their names: the client does not keep another.
pub(super) fn from_nats(map: &HeaderMap) -> Headers {
    let mut sorted: Vec<_> = map.iter().map(|(name, values)| (AsRef::<str>::as_ref(name), values)).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let each = sorted.into_iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    each.map(|(name, value)| (name.to_owned(), value.as_str().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_there_and_back() {
        let headers: Headers = [("a", "1"), ("a", "2"), ("ce-id", "x: ü")].into_iter().collect();
        assert_eq!(from_nats(&to_nats(&headers)), headers);
        let broken: Headers = [("a b", "1"), ("a", "1\r\nb: 2"), ("c", "3")].into_iter().collect();
        assert_eq!(from_nats(&to_nats(&broken)), [("c", "3")].into_iter().collect());
    }
}
