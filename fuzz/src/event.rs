//! Headers and payload of an entry: decoded or refused, and what is decoded survives its way back.

use bytes::Bytes;
use waxwing_engine::port::log::NewEntry;
use waxwing_event::{
    Event, Headers, Position, Subject, decode, encode,
    key::{KeySource, MAX_KEY_BYTES, key_of},
};
use waxwing_log::{form::Form, jetstream::headers};

/// Input: a header block as it is on the wire, and the payload behind its empty line.
pub fn check(data: &[u8]) {
    let end = data.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let (block, payload) = data.split_at(end);
    let headers = headers::from_block(Bytes::copy_from_slice(block));
    check_headers(&headers);
    let payload = Bytes::copy_from_slice(payload);
    let subject = Subject::from_checked("orders.eu.placed");
    let Ok(event) = decode::event(&subject, Position(7), &headers, &payload) else { return };
    for required in [&event.id, &event.source, &event.event_type, &event.correlation_id] {
        assert!(!required.is_empty());
    }
    check_key(&event);
    check_way_back(event);
}

/// Headers that were read can be shown, a line each.
fn check_headers(headers: &Headers) {
    for (name, value) in headers.iter() {
        assert!(!name.contains([':', '\r', '\n']), "{name:?}");
        assert!(!value.contains(['\r', '\n']), "{value:?}");
    }
}

fn check_key(event: &Event) {
    let sources = ["data.order.id", "data.id", "subject.2", "ce.region"];
    let sources: Vec<KeySource> = sources.iter().filter_map(|source| source.parse().ok()).collect();
    for count in 0..=sources.len() {
        if let Ok(Some(key)) = key_of(event, sources.get(..count).unwrap_or_default()) {
            assert!(key.len() <= MAX_KEY_BYTES);
        }
    }
}

/// An event that is emitted again as it is comes out as it went in, and a log takes it.
fn check_way_back(event: Event) {
    let mut entry = NewEntry::new(event.subject.clone(), event.data.clone());
    entry.headers = encode::headers(&event);
    for (name, value) in entry.headers.iter() {
        assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{name}: {value:?}");
    }
    let form = Form { kept: vec!["orders.>".parse().expect("a pattern")], max_entry_bytes: usize::MAX };
    if entry.headers.size_bytes() < 60_000 {
        assert_eq!(form.check(std::slice::from_ref(&entry)), Ok(()));
    }
    let again = decode::event(&event.subject, event.position, &entry.headers, &entry.payload);
    assert_eq!(again, Ok(event));
}
