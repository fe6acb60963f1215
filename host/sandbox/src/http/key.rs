//! Idempotency keys: the same for each attempt, and for each run of the same event.
//!
//! The header is that of draft-ietf-httpapi-idempotency-key-header: a string of structured fields (RFC 9651).

use std::collections::HashMap;

use uuid::Uuid;
use waxwing_event::{Event, http::Method, origin::Origin};

/// The namespace of these keys, made once for them.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d0c_2f0e_9f4b_4c07_8a1e_3b66_0f3d_71c9);

/// The header's name.
pub(crate) const HEADER: http::HeaderName = http::HeaderName::from_static("idempotency-key");

/// What the calls of one run are counted by.
///
/// A call is known by what it asks for, and by how often the run has asked for that before: so a re-run that leaves out
/// one call, as it has heard something else meanwhile, gives none of the others another key.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<(Method, Origin, String), u32>);

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// The app.
    pub(crate) app: &'a str,
    /// The handler.
    pub(crate) handler: &'a str,
    /// What it handles.
    pub(crate) event: &'a Event,
}

impl Keys {
    /// The key of the run's next call with this method of this path, without its query.
    pub(crate) fn next(&mut self, caller: Caller<'_>, method: Method, origin: &Origin, path: &str) -> Uuid {
        let count = self.0.entry((method, origin.clone(), path.to_owned())).or_default();
        let index = *count;
        *count = count.saturating_add(1);
        let Caller { app, handler, event } = caller;
        let (origin, index) = (origin.to_string(), index.to_string());
        let parts = [app, handler, &event.source, &event.id, method.as_str(), &origin, path, &index]
            .map(str::as_bytes);
        let mut name = Vec::new();
        for part in parts {
            // With its length before it no part can pass for two.
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part);
        }
        Uuid::new_v5(&NAMESPACE, &name)
    }
}

/// A key as it stands in the header.
pub(crate) fn header_value(key: Uuid) -> Option<http::HeaderValue> {
    http::HeaderValue::from_str(&format!("\"{key}\"")).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;
    use waxwing_event::Position;

    use super::*;

    fn event(id: &str, source: &str) -> Event {
        Event {
            id: id.into(),
            source: source.into(),
            event_type: "t".into(),
            subject: "a.b".parse().unwrap(),
            about: None,
            time: None,
            content_type: None,
            data_schema: None,
            correlation_id: id.into(),
            causation_id: None,
            extensions: Vec::new(),
            key: None,
            position: Position(1),
            attempt: 1,
            data: Bytes::new(),
        }
    }

    fn keys(handler: &str, event: &Event, calls: &[(Method, &str)]) -> Vec<Uuid> {
        let mut keys = Keys::default();
        let origin: Origin = "https://a".parse().unwrap();
        let caller = Caller { app: "shop", handler, event };
        calls.iter().map(|(method, path)| keys.next(caller, *method, &origin, path)).collect()
    }

    #[test]
    fn is_the_same_in_a_second_run_whatever_it_leaves_out() {
        let (post, put) = (Method::Post, Method::Put);
        let (first, again) = (event("1", "/s"), Event { attempt: 7, ..event("1", "/s") });
        let all = keys("pay", &first, &[(post, "/a"), (post, "/b"), (post, "/a"), (put, "/a")]);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4);
        assert_eq!(keys("pay", &again, &[(post, "/a"), (post, "/b"), (post, "/a"), (put, "/a")]), all);
        assert_eq!(keys("pay", &again, &[(put, "/a"), (post, "/b")]), [all[3], all[1]]);
    }

    #[test]
    fn is_another_one_for_another_event_handler_and_path() {
        let call = [(Method::Post, "/a")];
        let all = [
            keys("pay", &event("1", "/s"), &call),
            keys("pay", &event("2", "/s"), &call),
            keys("pay", &event("1", "/t"), &call),
            keys("pay", &event("1/", "s"), &call),
            keys("ship", &event("1", "/s"), &call),
            keys("pay", &event("1", "/s"), &[(Method::Post, "/b")]),
        ];
        assert_eq!(all.iter().flatten().collect::<HashSet<_>>().len(), all.len());
    }

    /// The keys of runs before an upgrade must be those after it.
    #[test]
    fn never_changes() {
        let key = keys("pay", &event("1", "/s"), &[(Method::Post, "/a")]);
        assert_eq!(key[0].to_string(), "f6274b34-d239-5e6d-abfb-be31ade0034c");
        assert_eq!(header_value(key[0]).unwrap(), format!("\"{}\"", key[0]));
    }
}
