//! Events as nobody should send them, and what is to become of each.

use serde_json::{Value, json};
use waxwing_event::outcome::FailureKind;

/// What a handler makes of an event: none where it handles it, else the kind and words of the reason.
pub type Fate = Option<(FailureKind, &'static str)>;

/// The most bytes of headers and data together that the server takes.
pub const MAX_BYTES: usize = 1 << 20;

/// One event.
pub struct Case {
    pub name: &'static str,
    /// The id under which it is handled, where it is.
    pub id: String,
    pub headers: Sent,
    pub data: Vec<u8>,
    /// What a handler with the key `data.key` makes of it.
    pub keyed: Fate,
    /// What a handler without key makes of it.
    pub plain: Fate,
}

/// Headers as they are sent.
pub enum Sent {
    Pairs(Vec<(String, String)>),
    Broken(&'static [u8]),
}

impl Sent {
    /// The block on the wire.
    pub fn block(&self) -> Vec<u8> {
        match self {
            Sent::Broken(block) => block.to_vec(),
            Sent::Pairs(pairs) if pairs.is_empty() => Vec::new(),
            Sent::Pairs(pairs) => {
                let lines: String =
                    pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                format!("NATS/1.0\r\n{lines}\r\n").into_bytes()
            }
        }
    }
}

/// Data that the handlers understand.
pub fn item(key: &str, n: usize) -> Value {
    json!({ "key": key, "n": n })
}

/// The attributes that an event must have.
pub fn whole(id: &str) -> Vec<(String, String)> {
    with(id, &[])
}

fn with(id: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/test"), ("ce-type", "in.item")];
    all.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An event that both handle.
fn fine(name: &'static str, id: &str, headers: Vec<(String, String)>, data: impl Into<Vec<u8>>) -> Case {
    let headers = Sent::Pairs(headers);
    Case { name, id: id.to_owned(), headers, data: data.into(), keyed: None, plain: None }
}

/// An event that cannot be decoded.
fn no_event(name: &'static str, why: &'static str, headers: Vec<(String, String)>) -> Case {
    let fate = Some((FailureKind::Decode, why));
    Case { keyed: fate, plain: fate, ..fine(name, "", headers, good_data()) }
}

fn broken(name: &'static str, block: &'static [u8]) -> Case {
    Case { headers: Sent::Broken(block), ..no_event(name, "the headers cannot be read", Vec::new()) }
}

/// An event whose data is nothing that a handler of items understands.
fn no_item(name: &'static str, headers: Vec<(String, String)>, data: impl Into<Vec<u8>>) -> Case {
    let keyed = Some((FailureKind::Decode, "the event has no key: the data is not JSON"));
    let plain = Some((FailureKind::Reject, "is not what the handler expects"));
    Case { keyed, plain, ..fine(name, "", headers, data) }
}

fn good_data() -> Vec<u8> {
    item("k0", 1).to_string().into_bytes()
}

/// Good data of so many bytes.
fn padded(bytes: usize) -> Vec<u8> {
    let mut data = json!({ "key": "k0", "n": 1, "pad": "" });
    let room = bytes - data.to_string().len();
    data["pad"] = "x".repeat(room).into();
    data.to_string().into_bytes()
}

/// As much data as the server takes beside these headers.
fn room_beside(headers: &[(String, String)]) -> usize {
    MAX_BYTES - Sent::Pairs(headers.to_vec()).block().len()
}

pub fn all() -> Vec<Case> {
    [of_headers(), of_attributes(), of_data(), of_size()].into_iter().flatten().collect()
}

fn of_headers() -> Vec<Case> {
    vec![
        broken("not UTF-8", b"NATS/1.0\r\nname: \xff\xfe\r\n\r\n"),
        broken("a line without colon", b"NATS/1.0\r\nno colon here\r\n\r\n"),
        broken("a lone carriage return", b"NATS/1.0\r\na: b\rc\r\n\r\n"),
        no_event("only an id", "`specversion` is missing", pairs(&[("ce-id", "half")])),
        no_event("no type", "`type` is missing", whole("no-type")[..3].to_vec()),
        no_event("an empty id", "`id` is missing or empty", whole("")),
    ]
}

fn of_attributes() -> Vec<Case> {
    let hundred: Vec<String> = (0..100).map(|n| format!("ce-attribute{n}")).collect();
    let hundred: Vec<(&str, &str)> = hundred.iter().map(|name| (name.as_str(), "value")).collect();
    let long = "i".repeat(5_000);
    vec![
        no_event("percent", "percent-encoded bytes are not UTF-8", with("percent", &[("ce-region", "%FF")])),
        fine("no percent-encoding", "zz", with("zz", &[("ce-region", "100 % %zz %4")]), good_data()),
        no_event("an old version", "CloudEvents version `0.3` is not understood", {
            let mut old = whole("old");
            "0.3".clone_into(&mut old[0].1);
            old
        }),
        no_event("no time", "`yesterday` is no RFC 3339 time", with("late", &[("ce-time", "yesterday")])),
        no_event("a wrong name", "a name consists of a-z", with("name", &[("ce-with_score", "1")])),
        fine("a hundred attributes", "hundred", with("hundred", &hundred), good_data()),
        fine("a long id", &long, whole(&long), good_data()),
        fine("an id with line breaks", "a\nb\t\"ü\"", whole("a%0Ab%09%22%C3%BC%22"), good_data()),
        no_item("a long id of no item", whole(&"j".repeat(5_000)), "no"),
        no_item("an id with line breaks of no item", whole("a%0D%0Ab%1B%00"), "no"),
    ]
}

fn of_data() -> Vec<Case> {
    let structured = pairs(&[("Content-Type", "application/cloudevents+json")]);
    let key = |bytes: usize| item(&"k".repeat(bytes), 1).to_string();
    let too_long = Some((FailureKind::Decode, "the event's key is 1025 bytes long"));
    let no_state = Some((FailureKind::Reject, "the key has 300 bytes: at most 200 are allowed"));
    vec![
        Case {
            data: b"{\"specversion\":\"1.0\",".to_vec(),
            ..no_event("structured, cut off", "the event's JSON is malformed", structured)
        },
        no_item("structured without a header, cut off", Vec::new(), "{\"specversion\":\"1.0\","),
        no_item("nothing at all", Vec::new(), ""),
        no_item("no data", whole("empty"), ""),
        no_item("no JSON", whole("4711"), "words"),
        no_item("no text", whole("bytes"), [0xff, 0xfe, 0]),
        Case { keyed: too_long, ..fine("a key too long", "key", whole("key"), key(1_025)) },
        Case { keyed: no_state, ..fine("a key too long for state", "state", whole("state"), key(300)) },
    ]
}

fn of_size() -> Vec<Case> {
    let large = with("large-headers", &[("note", &"n".repeat(50_000))]);
    let (as_correlation, headers) = ("c".repeat(63_900), "bytes of headers: the log takes");
    let doubled = Some((FailureKind::Effects, headers));
    let correlated = with("correlated", &[("ce-correlationid", &as_correlation)]);
    let full = whole("full");
    let words = whole("full-of-words");
    vec![
        fine("1 MB", "full", full.clone(), padded(room_beside(&full))),
        no_item("1 MB of words", words.clone(), "w".repeat(room_beside(&words))),
        no_item("0.9 MB of words", whole("many-words"), "w".repeat(900_000)),
        fine("50 KB of headers", "large-headers", large.clone(), good_data()),
        no_item("50 KB of headers of no item", large, "no"),
        Case {
            keyed: doubled,
            plain: doubled,
            ..fine("headers that leave no room", "", correlated, good_data())
        },
    ]
}
