//! From an [`Event`] to headers: CloudEvents binary mode on NATS.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{Event, Headers, Reply};

/// What a header's value may not carry as it is: everything outside U+0021–7E, `"` and `%`.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Headers that turn the event's data, as a payload, into the event.
pub fn headers(event: &Event) -> Headers {
    let mut headers = Headers::with_capacity(12 + event.extensions.len());
    headers.push("ce-specversion", "1.0");
    headers.push("ce-id", encoded(&event.id));
    headers.push("ce-source", encoded(&event.source));
    headers.push("ce-type", encoded(&event.event_type));
    headers.push("ce-correlationid", encoded(&event.correlation_id));
    let optional = [
        ("ce-causationid", &event.causation_id),
        ("ce-time", &event.time),
        ("ce-datacontenttype", &event.content_type),
        ("ce-subject", &event.about),
        ("ce-dataschema", &event.data_schema),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            headers.push(name, encoded(value));
        }
    }
    for (name, value) in &event.extensions {
        headers.push(format!("ce-{name}"), encoded(value));
    }
    headers
}

/// The headers of an answer. They go as they are: an answer is no event.
pub fn reply_headers(reply: &Reply) -> Headers {
    let mut headers = Headers::with_capacity(1 + reply.attributes.len());
    match &reply.content_type {
        Some(content_type) => headers.push("Content-Type", content_type.as_str()),
        None if reply.data.is_empty() => {}
        None => headers.push("Content-Type", "application/json"),
    }
    for (name, value) in &reply.attributes {
        headers.push(name.clone(), value.as_str());
    }
    headers
}

fn encoded(value: &str) -> String {
    Cow::from(utf8_percent_encode(value, ENCODED)).into_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{Position, Subject, decode};

    #[test]
    fn an_answer_without_a_media_type_is_json_or_empty() {
        let shown =
            |reply: &Reply| reply_headers(reply).iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
        let mut reply = Reply { attributes: vec![("status".into(), "open ü".into())], ..Reply::default() };
        assert_eq!(shown(&reply), ["status=open ü"]);
        reply.data = Bytes::from_static(b"1");
        assert_eq!(shown(&reply), ["Content-Type=application/json", "status=open ü"]);
        reply.content_type = Some("text/plain".into());
        assert_eq!(shown(&reply)[0], "Content-Type=text/plain");
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(
            id in ".{1,20}",
            about in proptest::option::of(".*"),
            extension in ".*",
            data in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let event = Event {
                id: id.clone(),
                source: "/s".into(),
                event_type: "t ü".into(),
                subject: Subject::from_checked("a.b"),
                about,
                time: Some("2026-11-20T10:00:00Z".into()),
                content_type: Some("application/json; charset=\"utf-8\"".into()),
                data_schema: None,
                correlation_id: id,
                causation_id: Some("100% \"sure\"".into()),
                extensions: vec![("region".into(), extension)],
                key: None,
                position: Position(3),
                attempt: 1,
                data: Bytes::from(data),
            };
            let decoded = decode::event(&event.subject, event.position, &headers(&event), &event.data);
            prop_assert_eq!(decoded, Ok(event));
        }
    }
}
