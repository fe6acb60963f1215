//! The host's own entries, as somebody else may have written them.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use waxwing::story::index::{extent::Extent, segment::Segment};
use waxwing_engine::{
    entry::{
        Checkpoint, DeadLetter, EntryError, Layout, Lease, Mark, Outage, Outgoing, ParkedEvent, Refusal,
        Relayed, dead, mark, outbox, parked,
        seen::{self, Seen},
        state,
    },
    port::log::{Entry, Expect, MAX_HEADER_BYTES, NewEntry},
    trace::TraceContext,
};
use waxwing_event::{HandlerName, Headers, Position, Subject};

const MAX_ENTRY_BYTES: usize = 1 << 20;

/// Input: a byte that says what it is, then the text.
pub fn check(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 10 {
        0 => check_mark(&String::from_utf8_lossy(rest)),
        1 => check_payload("checkpoint.basket.0", rest, Checkpoint::read, Checkpoint::write),
        2 => check_payload("lease.basket.0", rest, Lease::read, |lease, subject| {
            lease.write(subject, Expect { subject: None, last: Position::NONE })
        }),
        3 => check_header("dead.basket.7", dead::HEADER, rest, DeadLetter::read, |letter, subject| {
            letter.clone().write(subject, MAX_ENTRY_BYTES)
        }),
        4 => check_key(&String::from_utf8_lossy(rest)),
        5 => check_header("parked.basket.7", parked::HEADER, rest, ParkedEvent::read, |parked, subject| {
            parked.clone().write(subject, MAX_ENTRY_BYTES)
        }),
        6 => {
            check_payload("outage.basket.0", rest, Outage::read, Outage::write);
            check_payload("relayed.basket", rest, Relayed::read, Relayed::write);
        }
        7 => check_header("seen.basket.r1", seen::HEADER, rest, Seen::read, |seen, subject| {
            seen.write(subject, Duration::from_secs(120))
        }),
        8 => check_outgoing(rest),
        _ => check_index(rest),
    }
}

/// What the index of stories is made of.
fn check_index(data: &[u8]) {
    if let Some(segment) = Segment::decode(data) {
        assert_eq!(segment.encode(), data, "a segment is written in one way");
        assert!(segment.find(0, Position(1)).all(|position| position >= Position(1)));
    }
    if let Some(extent) = Extent::read(&entry("index.indexed", Headers::new(), data)) {
        assert!(extent.segments().is_empty(), "nothing can be indexed so early");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(context) = text.parse::<TraceContext>()
    {
        assert_eq!(context.to_string().parse(), Ok(context));
    }
}

fn entry(subject: &str, headers: Headers, payload: &[u8]) -> Entry {
    Entry {
        position: Position(9),
        subject: Subject::from_checked(subject),
        headers,
        payload: Bytes::copy_from_slice(payload),
        time: Timestamp::UNIX_EPOCH,
    }
}

fn read_back(written: NewEntry) -> Entry {
    Entry {
        position: Position(10),
        subject: written.subject,
        headers: written.headers,
        payload: written.payload,
        time: Timestamp::UNIX_EPOCH,
    }
}

fn check_mark(text: &str) {
    let headers: Headers = [(mark::HEADER, text)].into_iter().collect();
    let Some(mark) = Mark::of(&headers) else { return };
    assert_eq!(mark.encode(mark.index), text, "a mark is written in one way");
}

/// What a payload says survives its way through the log.
fn check_payload<T: PartialEq + Debug>(
    family: &str,
    payload: &[u8],
    read: impl Fn(&Entry) -> Result<T, EntryError>,
    write: impl Fn(&T, Subject) -> NewEntry,
) {
    let subject = format!("wx.shop.{family}");
    let Ok(read_first) = read(&entry(&subject, Headers::new(), payload)) else { return };
    let again = read_back(write(&read_first, Subject::from_checked(&subject)));
    assert_eq!(read(&again), Ok(read_first));
}

/// What a header and a payload say survives its way through the log. Input: the header's value, and the payload behind
/// a line break.
fn check_header<T: PartialEq + Debug>(
    family: &str,
    header: &'static str,
    rest: &[u8],
    read: impl Fn(Entry) -> Result<T, EntryError>,
    write: impl Fn(&T, Subject) -> NewEntry,
) {
    let Some((value, payload)) = value_and_payload(rest) else { return };
    let subject = format!("wx.shop.{family}");
    let headers: Headers = [(header, value)].into_iter().collect();
    let Ok(read_first) = read(entry(&subject, headers, payload)) else { return };
    let written = write(&read_first, Subject::from_checked(&subject));
    for (_, value) in written.headers.iter() {
        assert!(!value.contains(['\r', '\n']), "{value:?}");
    }
    if written.headers.size_bytes() < MAX_HEADER_BYTES {
        assert_eq!(read(read_back(written)), Ok(read_first));
    }
}

fn value_and_payload(rest: &[u8]) -> Option<(&str, &[u8])> {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (value, payload) = rest.split_at(end);
    Some((std::str::from_utf8(value).ok()?, payload))
}

/// An event for somewhere else. Input: where to, and the payload behind a line break.
fn check_outgoing(rest: &[u8]) {
    let Some((value, payload)) = value_and_payload(rest) else { return };
    let headers = [
        (outbox::TO_HEADER, value),
        ("ce-id", "1"),
        ("wx-mark", "basket 0 7 0 6"),
        (outbox::REFUSED_HEADER, value),
    ];
    let entry = entry("wx.shop.outbox.basket.e1", headers.into_iter().collect(), payload);
    let _ = Refusal::read(&entry);
    let Ok(outgoing) = Outgoing::read(entry) else { return };
    let layout = Layout::new("shop".parse().expect("a name"));
    let again = read_back(outgoing.again(&layout, &"basket".parse().expect("a name")));
    let again = Outgoing::read(again).expect("what was written can be read");
    assert_eq!(again.message, outgoing.message);
    assert!(again.message.headers.iter().eq([("ce-id", "1")]));
}

fn check_key(text: &str) {
    let handler: HandlerName = "basket".parse().expect("a name");
    let layout = Layout::new("shop".parse().expect("a name"));
    let encoded = state::encode_key(text);
    if !text.is_empty() {
        assert_eq!(state::decode_key(&encoded).as_deref(), Some(text));
        let subject = layout.state(&handler, text);
        assert_eq!(layout.state_key(&handler, &subject).as_deref(), Some(text));
        let is_subject = format!("s.{encoded}").parse::<Subject>().is_ok();
        assert!(encoded.len() > 250 || is_subject, "{encoded}");
    }
    // Read as a subject's end instead: a key stands in one place only.
    if let Some(key) = state::decode_key(text) {
        assert_eq!(state::encode_key(&key), text, "`{key}` would stand in two places");
    }
}
