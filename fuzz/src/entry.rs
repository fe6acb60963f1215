//! The host's own entries, as somebody else may have written them.

use bytes::Bytes;
use jiff::Timestamp;
use waxwing_engine::{
    entry::{Checkpoint, DeadLetter, Layout, Lease, Mark, dead, mark, state},
    port::log::{Entry, Expect, MAX_HEADER_BYTES, NewEntry},
};
use waxwing_event::{HandlerName, Headers, Position, Subject};

const MAX_ENTRY_BYTES: usize = 1 << 20;

/// Input: a byte that says what it is, then the text.
pub fn check(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 5 {
        0 => check_mark(&String::from_utf8_lossy(rest)),
        1 => check_checkpoint(rest),
        2 => check_lease(rest),
        3 => check_dead(rest),
        _ => check_key(&String::from_utf8_lossy(rest)),
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

fn check_checkpoint(payload: &[u8]) {
    let subject = "wx.shop.checkpoint.basket.0";
    let Ok(checkpoint) = Checkpoint::read(&entry(subject, Headers::new(), payload)) else { return };
    let again = read_back(checkpoint.write(Subject::from_checked(subject)));
    assert_eq!(Checkpoint::read(&again), Ok(checkpoint));
}

fn check_lease(payload: &[u8]) {
    let subject = "wx.shop.lease.basket.0";
    let Ok(lease) = Lease::read(&entry(subject, Headers::new(), payload)) else { return };
    let expect = Expect { subject: None, last: Position::NONE };
    let again = read_back(lease.write(Subject::from_checked(subject), expect));
    assert_eq!(Lease::read(&again), Ok(lease));
}

/// Input: the header, and the payload behind a line break.
fn check_dead(rest: &[u8]) {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (header, payload) = rest.split_at(end);
    let Ok(header) = std::str::from_utf8(header) else { return };
    let subject = "wx.shop.dead.basket.7";
    let headers: Headers = [(dead::HEADER, header)].into_iter().collect();
    let Ok(letter) = DeadLetter::read(entry(subject, headers, payload)) else { return };
    let written = letter.clone().write(Subject::from_checked(subject), MAX_ENTRY_BYTES);
    for (_, value) in written.headers.iter() {
        assert!(!value.contains(['\r', '\n']), "{value:?}");
    }
    if written.headers.size_bytes() < MAX_HEADER_BYTES {
        assert_eq!(DeadLetter::read(read_back(written)), Ok(letter));
    }
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
