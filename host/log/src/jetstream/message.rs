//! A commit as the messages that write it: one alone, or an atomic batch (ADR-50).

use async_nats::{
    HeaderMap,
    header::{
        NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
        NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL, NATS_ROLLUP,
    },
    message::OutboundMessage,
};
use waxwing_engine::port::log::{Keep, NewEntry};

use super::headers;

/// ADR-50's sibling in ADR-8: the subject of an expectation, where it is not the message's own.
const EXPECTED_SUBJECT: async_nats::HeaderName =
    async_nats::HeaderName::from_static("Nats-Expected-Last-Subject-Sequence-Subject");
/// Replaces all earlier messages of the same subject.
const ROLLUP_SUBJECT: &str = "sub";

/// The message of one entry.
pub(super) fn single(entry: NewEntry) -> OutboundMessage {
    let (subject, payload) = (entry.subject.as_str().into(), entry.payload.clone());
    let headers = all_headers(entry);
    OutboundMessage { subject, reply: None, payload, headers: (!headers.is_empty()).then_some(headers) }
}

/// The messages of a batch, to be sent one right after the other.
pub(super) fn batch(entries: Vec<NewEntry>, id: &str) -> Vec<OutboundMessage> {
    let count = entries.len();
    let numbered = entries.into_iter().zip(1..);
    let messages = numbered.map(|(entry, number)| {
        let mut message = single(entry);
        let headers = message.headers.get_or_insert_default();
        headers.insert(NATS_BATCH_ID, id);
        headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
        if number == count {
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        }
        message
    });
    messages.collect()
}

fn all_headers(entry: NewEntry) -> HeaderMap {
    let mut map = headers::to_nats(entry.headers);
    if entry.rollup {
        map.insert(NATS_ROLLUP, ROLLUP_SUBJECT);
    }
    match entry.keep {
        Keep::Retention => {}
        Keep::Forever => map.insert(NATS_MESSAGE_TTL, "never"),
        Keep::For(time) => map.insert(NATS_MESSAGE_TTL, format!("{}s", time.as_secs())),
    }
    if let Some(expect) = entry.expect {
        map.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expect.last.0.to_string());
        if let Some(subject) = expect.subject {
            map.insert(EXPECTED_SUBJECT, subject.as_str());
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use waxwing_engine::port::log::Expect;
    use waxwing_event::Position;

    use super::*;

    fn header<'a>(message: &'a OutboundMessage, name: &'a str) -> Option<&'a str> {
        message.headers.as_ref()?.get(name).map(|value| value.as_str())
    }

    #[test]
    fn writes_the_fields_as_headers() {
        let expect = Expect { subject: Some("a.lease".parse().unwrap()), last: Position(5) };
        let entry = NewEntry {
            rollup: true,
            keep: Keep::For(Duration::from_secs(10)),
            expect: Some(expect),
            ..NewEntry::new("a.b".parse().unwrap(), "x")
        };
        let message = single(entry);
        assert_eq!(header(&message, "Nats-Rollup"), Some("sub"));
        assert_eq!(header(&message, "Nats-TTL"), Some("10s"));
        assert_eq!(header(&message, "Nats-Expected-Last-Subject-Sequence"), Some("5"));
        assert_eq!(header(&message, "Nats-Expected-Last-Subject-Sequence-Subject"), Some("a.lease"));
    }

    #[test]
    fn a_plain_entry_has_no_headers() {
        assert!(single(NewEntry::new("a.b".parse().unwrap(), "x")).headers.is_none());
    }

    #[test]
    fn only_the_last_of_a_batch_commits() {
        let entry = NewEntry::new("a.b".parse().unwrap(), "x");
        let messages = batch(vec![entry; 3], "id");
        let numbers: Vec<_> = messages.iter().map(|m| header(m, "Nats-Batch-Sequence").unwrap()).collect();
        assert_eq!(numbers, ["1", "2", "3"]);
        let commits: Vec<_> = messages.iter().map(|m| header(m, "Nats-Batch-Commit")).collect();
        assert_eq!(commits, [None, None, Some("1")]);
    }
}
