//! A new event, as anyone would publish it.

use bytes::Bytes;
use uuid::Uuid;
use waxwing_engine::port::log::NewEntry;
use waxwing_event::{Event, Position, Subject, encode};

/// An event of this data that nothing has caused, from this source, of this media type.
pub(super) fn event(
    subject: Subject,
    data: Bytes,
    (source, content_type): (String, Option<String>),
) -> Event {
    let id = Uuid::now_v7().to_string();
    Event {
        source,
        event_type: subject.to_string(),
        subject,
        about: None,
        time: Some(jiff::Timestamp::now().to_string()),
        content_type,
        data_schema: None,
        correlation_id: id.clone(),
        causation_id: None,
        extensions: Vec::new(),
        key: None,
        position: Position::NONE,
        attempt: 1,
        data,
        id,
    }
}

/// The entry of an event.
pub(super) fn entry(event: &Event) -> NewEntry {
    let mut entry = NewEntry::new(event.subject.clone(), event.data.clone());
    entry.headers = encode::headers(event);
    entry.headers.push("Nats-Msg-Id", event.id.as_str());
    entry
}
