//! From an entry's headers and payload to an [`Event`].
//!
//! Understood, in this order (CloudEvents 1.0; its NATS protocol binding):
//! 1. *binary mode*: any `ce-` header;
//! 2. *structured mode*: `Content-Type: application/cloudevents…`, or a JSON object with `specversion`;
//! 3. the *plain envelope* of the textbooks: a JSON object with `eventId` and `eventType`;
//! 4. a *plain message*: type from the subject, id from `Nats-Msg-Id`, else from stream and position; what
//!    stands in no stream brings an id of its own.

use std::{borrow::Cow, fmt::Arguments};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{Event, Headers, Position, Subject};

/// The longest name of an attribute, in characters (CloudEvents 1.0, section 3.1).
pub const MAX_ATTRIBUTE_NAME: usize = 20;

/// Why an entry is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The header block is no text, or has a line without a colon.
    #[error("the headers cannot be read: they are not lines of UTF-8 text `name: value`")]
    Headers,
    /// A required attribute is not there.
    #[error("the CloudEvents attribute `{0}` is missing or empty")]
    Missing(&'static str),
    /// Another version than 1.x.
    #[error("CloudEvents version `{0}` is not understood: send `1.0`")]
    Version(String),
    /// An attribute with a value that its definition does not allow.
    #[error("the CloudEvents attribute `{name}` is malformed: {why}")]
    Attribute {
        /// The attribute.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A structured event or an envelope that does not parse.
    #[error("the event's JSON is malformed: {0}")]
    Json(String),
}

/// Decodes one entry of the app's log. The event's key is found later, by [`crate::key::key_of`].
pub fn event(
    subject: &Subject,
    position: Position,
    headers: &Headers,
    payload: &Bytes,
) -> Result<Event, DecodeError> {
    event_of("log", subject, position, headers, payload)
}

/// Decodes one entry of the stream of this name: of two streams, entries at one position are two events.
pub fn event_of(
    stream: &str,
    subject: &Subject,
    position: Position,
    headers: &Headers,
    payload: &Bytes,
) -> Result<Event, DecodeError> {
    decode(subject, position, headers, payload, format_args!("{stream}-{position}"))
}

/// Decodes a message that stands in no stream; `fresh` is its id where it brings none itself.
pub fn message(
    subject: &Subject,
    headers: &Headers,
    payload: &Bytes,
    fresh: &str,
) -> Result<Event, DecodeError> {
    decode(subject, Position::NONE, headers, payload, format_args!("{fresh}"))
}

/// The id that headers name, whether or not there is an event with them: by it people find what they have sent.
pub fn id_in(headers: &Headers) -> Option<String> {
    let cloud_event =
        headers.get("ce-id").map(|id| plain_text("id", id).map_or_else(|_| id.to_owned(), Cow::into_owned));
    let cloud_event = cloud_event.filter(|id| !id.is_empty());
    let message = || headers.get("Nats-Msg-Id").filter(|id| !id.is_empty()).map(str::to_owned);
    cloud_event.or_else(message)
}

fn decode(
    subject: &Subject,
    position: Position,
    headers: &Headers,
    payload: &Bytes,
    otherwise: Arguments<'_>,
) -> Result<Event, DecodeError> {
    if headers.broken().is_some() {
        return Err(DecodeError::Headers);
    }
    let mut draft = Draft::default();
    if headers.iter().any(|(name, _)| attribute_name(name).is_some()) {
        draft.read_binary(headers, payload)?;
    } else if is_structured(headers) {
        draft.read_structured(payload)?;
    } else if !draft.read_header_less(payload)? {
        draft.read_plain(otherwise, subject, headers, payload);
    }
    draft.finish(subject, position)
}

fn attribute_name(header: &str) -> Option<&str> {
    let (prefix, name) = header.split_at_checked(3)?;
    prefix.eq_ignore_ascii_case("ce-").then_some(name)
}

fn is_structured(headers: &Headers) -> bool {
    let media = headers.get("content-type").unwrap_or_default();
    media.get(..23).is_some_and(|start| start.eq_ignore_ascii_case("application/cloudevents"))
}

/// An event as far as it has been read.
#[derive(Default)]
struct Draft {
    version: Option<String>,
    id: Option<String>,
    source: Option<String>,
    event_type: Option<String>,
    about: Option<String>,
    time: Option<String>,
    content_type: Option<String>,
    data_schema: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    extensions: Vec<(String, String)>,
    data: Bytes,
}

impl Draft {
    fn read_binary(&mut self, headers: &Headers, payload: &Bytes) -> Result<(), DecodeError> {
        for (header, value) in headers.iter() {
            if let Some(name) = attribute_name(header) {
                self.set(&lower(name), plain_text(name, value)?.into_owned())?;
            }
        }
        if self.content_type.is_none() {
            self.content_type = headers.get("content-type").map(str::to_owned);
        }
        self.data = payload.clone();
        Ok(())
    }

    fn read_structured(&mut self, payload: &Bytes) -> Result<(), DecodeError> {
        let members: Map<String, Value> = serde_json::from_slice(payload).map_err(json_error)?;
        for (name, value) in members {
            match (name.as_str(), value) {
                ("data" | "data_base64", _) | (_, Value::Null) => {}
                (_, Value::String(text)) => self.set(&name, text)?,
                (_, Value::Bool(yes)) => self.set(&name, yes.to_string())?,
                (_, Value::Number(number)) if number.is_i64() => self.set(&name, number.to_string())?,
                _ => return Err(malformed(&name, "a string, a boolean or an integer is asked for")),
            }
        }
        self.data = structured_data(payload)?;
        if self.content_type.is_none() {
            self.content_type = Some("application/json".to_owned());
        }
        Ok(())
    }

    /// Reads a JSON object that says of itself what it is; false where it does not.
    fn read_header_less(&mut self, payload: &Bytes) -> Result<bool, DecodeError> {
        if payload.first() != Some(&b'{') {
            return Ok(false);
        }
        if contains(payload, b"\"specversion\"") && is_cloud_event(payload) {
            self.read_structured(payload)?;
            return Ok(true);
        }
        if contains(payload, b"\"eventId\"")
            && contains(payload, b"\"eventType\"")
            && let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(payload)
        {
            self.read_envelope(envelope, payload)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn read_envelope(&mut self, envelope: Envelope<'_>, payload: &Bytes) -> Result<(), DecodeError> {
        self.version = Some("1.0".to_owned());
        self.id = Some(envelope.event_id);
        self.event_type = Some(envelope.event_type);
        self.source = Some(envelope.producer.unwrap_or_else(|| "/".to_owned()));
        self.correlation_id = envelope.correlation_id;
        self.causation_id = envelope.causation_id;
        self.content_type = Some("application/json".to_owned());
        if let Some(time) = envelope.timestamp {
            self.set("time", time)?;
        }
        if let Some(version) = envelope.event_version {
            self.extensions
                .push(("eventversion".to_owned(), version.to_string().trim_matches('"').to_owned()));
        }
        self.data = envelope.data.map_or_else(Bytes::new, |raw| part_of(payload, raw.get()));
        Ok(())
    }

    fn read_plain(
        &mut self,
        otherwise: Arguments<'_>,
        subject: &Subject,
        headers: &Headers,
        payload: &Bytes,
    ) {
        self.version = Some("1.0".to_owned());
        self.id = Some(match headers.get("nats-msg-id") {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => otherwise.to_string(),
        });
        self.source = Some(format!("nats:{subject}"));
        self.event_type = Some(subject.as_str().to_owned());
        self.content_type = headers.get("content-type").map(str::to_owned);
        self.data = payload.clone();
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), DecodeError> {
        let slot = match name {
            "specversion" => &mut self.version,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.event_type,
            "subject" => &mut self.about,
            "datacontenttype" => &mut self.content_type,
            "dataschema" => &mut self.data_schema,
            "correlationid" => &mut self.correlation_id,
            "causationid" => &mut self.causation_id,
            "time" => {
                let parsed: Result<jiff::Timestamp, _> = value.parse();
                parsed.map_err(|_| malformed(name, &format!("`{value}` is no RFC 3339 time")))?;
                &mut self.time
            }
            _ => {
                check_name(name).map_err(|why| malformed(name, why))?;
                self.extensions.push((name.to_owned(), value));
                return Ok(());
            }
        };
        *slot = Some(value);
        Ok(())
    }

    fn finish(self, subject: &Subject, position: Position) -> Result<Event, DecodeError> {
        let version = required("specversion", self.version)?;
        if version != "1.0" && !version.starts_with("1.") {
            return Err(DecodeError::Version(version));
        }
        let id = required("id", self.id)?;
        Ok(Event {
            source: required("source", self.source)?,
            event_type: required("type", self.event_type)?,
            subject: subject.clone(),
            about: self.about,
            time: self.time,
            content_type: self.content_type,
            data_schema: self.data_schema,
            correlation_id: self.correlation_id.filter(|c| !c.is_empty()).unwrap_or_else(|| id.clone()),
            causation_id: self.causation_id.filter(|c| !c.is_empty()),
            extensions: self.extensions,
            key: None,
            position,
            attempt: 1,
            data: self.data,
            id,
        })
    }
}

fn required(name: &'static str, value: Option<String>) -> Result<String, DecodeError> {
    value.filter(|v| !v.is_empty()).ok_or(DecodeError::Missing(name))
}

fn malformed(name: &str, why: &str) -> DecodeError {
    DecodeError::Attribute { name: name.to_owned(), why: why.to_owned() }
}

fn json_error(error: serde_json::Error) -> DecodeError {
    DecodeError::Json(error.to_string())
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

/// Checks the name of an extension attribute.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_ATTRIBUTE_NAME {
        return Err("a name has 1 to 20 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err("a name consists of a-z and 0-9");
    }
    Ok(())
}

/// A header's value as text: unquoted, then percent-decoded once.
fn plain_text<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, DecodeError> {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner: Cow<'a, str> = match quoted {
        Some(text) if text.contains('\\') => unescaped(text).into(),
        Some(text) => text.into(),
        None => value.into(),
    };
    if !inner.contains('%') {
        return Ok(inner);
    }
    match percent_decode_str(&inner).decode_utf8() {
        Ok(text) => Ok(text.into_owned().into()),
        Err(_) => Err(malformed(name, "its percent-encoded bytes are not UTF-8")),
    }
}

fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The bytes of `raw`, which was borrowed from `payload`, without a copy.
fn part_of(payload: &Bytes, raw: &str) -> Bytes {
    payload.slice_ref(raw.as_bytes())
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
}

fn is_cloud_event(payload: &[u8]) -> bool {
    serde_json::from_slice::<Version<'_>>(payload).is_ok_and(|v| !v.specversion.is_empty())
}

#[derive(Deserialize)]
struct StructuredData<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    data_base64: Option<String>,
}

fn structured_data(payload: &Bytes) -> Result<Bytes, DecodeError> {
    let found: StructuredData<'_> = serde_json::from_slice(payload).map_err(json_error)?;
    match (found.data, found.data_base64) {
        (Some(_), Some(_)) => Err(malformed("data_base64", "it stands beside `data`: send one of them")),
        (None, Some(text)) => {
            STANDARD.decode(text).map(Bytes::from).map_err(|e| malformed("data_base64", &e.to_string()))
        }
        (Some(raw), None) => Ok(part_of(payload, raw.get())),
        (None, None) => Ok(Bytes::new()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    event_id: String,
    event_type: String,
    event_version: Option<Value>,
    timestamp: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    producer: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(headers: &[(&'static str, &str)], payload: &str) -> Result<Event, DecodeError> {
        let headers: Headers = headers.iter().map(|(n, v)| (*n, *v)).collect();
        event(
            &Subject::from_checked("a.b"),
            Position(7),
            &headers,
            &Bytes::copy_from_slice(payload.as_bytes()),
        )
    }

    const WHOLE: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

    fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
        WHOLE.iter().chain(more).copied().collect()
    }

    #[test]
    fn reads_binary_mode() {
        let event = decode(
            &with(&[
                ("CE-Subject", "Euro%20%E2%82%AC"),
                ("ce-time", "2026-11-20T10:00:00Z"),
                ("ce-datacontenttype", "text/plain"),
                ("ce-region", "\"north \\\"x\\\"\""),
                ("ce-correlationid", "c"),
            ]),
            "hi",
        )
        .unwrap();
        assert_eq!(event.about.as_deref(), Some("Euro €"));
        assert_eq!(event.content_type.as_deref(), Some("text/plain"));
        assert_eq!(event.extension("region"), Some("north \"x\""));
        assert_eq!((event.correlation_id.as_str(), event.causation_id), ("c", None));
        assert_eq!(event.data, "hi");
    }

    #[test]
    fn refuses_half_an_event() {
        for missing in ["specversion", "id", "source", "type"] {
            let header = format!("ce-{missing}");
            let rest: Vec<_> = WHOLE.into_iter().filter(|(name, _)| *name != header).collect();
            assert_eq!(decode(&rest, ""), Err(DecodeError::Missing(missing)));
        }
        assert_eq!(decode(&[("ce-region", "north")], ""), Err(DecodeError::Missing("specversion")));
    }

    #[test]
    fn refuses_malformed_attributes() {
        let refused =
            |more: &[(&'static str, &'static str)]| decode(&with(more), "").unwrap_err().to_string();
        insta::assert_snapshot!(refused(&[("ce-time", "yesterday")]), @"the CloudEvents attribute `time` is malformed: `yesterday` is no RFC 3339 time");
        insta::assert_snapshot!(refused(&[("ce-region", "%FF")]), @"the CloudEvents attribute `region` is malformed: its percent-encoded bytes are not UTF-8");
        insta::assert_snapshot!(refused(&[("ce-with_score", "x")]), @"the CloudEvents attribute `with_score` is malformed: a name consists of a-z and 0-9");
        insta::assert_snapshot!(refused(&[("ce-specversion", "0.3")]), @"CloudEvents version `0.3` is not understood: send `1.0`");
        let broken = Headers::from_broken(Bytes::from_static(b"\xff"));
        let got = event(&Subject::from_checked("a"), Position(1), &broken, &Bytes::new());
        assert_eq!(got, Err(DecodeError::Headers));
    }

    #[test]
    fn reads_structured_mode_with_and_without_its_header() {
        let payload = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","n":5,"data":{"a": 1}}"#;
        for headers in [&[("Content-Type", "application/cloudevents+json; charset=utf-8")][..], &[]] {
            let event = decode(headers, payload).unwrap();
            assert_eq!(event.data, r#"{"a": 1}"#);
            assert_eq!(event.extension("n"), Some("5"));
        }
        let binary = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AAE="}"#;
        assert_eq!(decode(&[], binary).unwrap().data.as_ref(), [0, 1]);
        let both = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"AA=="}"#;
        assert!(matches!(decode(&[], both), Err(DecodeError::Attribute { .. })));
        let structured = [("Content-Type", "application/cloudevents+json")];
        assert!(matches!(decode(&structured, r#"{"specversion":"1.0","#), Err(DecodeError::Json(_))));
        assert_eq!(
            decode(&structured, r#"{"specversion":"1.0","id":"1"}"#),
            Err(DecodeError::Missing("source"))
        );
    }

    #[test]
    fn reads_the_plain_envelope() {
        let payload = r#"{"eventId":"e1","eventType":"OrderPlaced","eventVersion":2,"timestamp":"2026-01-01T00:00:00Z","correlationId":"c","producer":"web","data":[1]}"#;
        let event = decode(&[], payload).unwrap();
        assert_eq!(
            (event.id.as_str(), event.event_type.as_str(), event.source.as_str()),
            ("e1", "OrderPlaced", "web")
        );
        assert_eq!((event.extension("eventversion"), event.data.as_ref()), (Some("2"), &b"[1]"[..]));
    }

    #[test]
    fn reads_plain_messages() {
        let event = decode(&[("Nats-Msg-Id", "m1")], "{\"a\":1}").unwrap();
        assert_eq!(
            (event.id.as_str(), event.event_type.as_str(), event.source.as_str()),
            ("m1", "a.b", "nats:a.b")
        );
        assert_eq!(decode(&[], "").unwrap().id, "log-7");
        assert_eq!(decode(&[], "").unwrap().correlation_id, "log-7");
    }

    #[test]
    fn a_message_outside_the_log_brings_its_id_or_gets_one() {
        let id = |headers: &[(&'static str, &'static str)]| {
            let headers: Headers = headers.iter().copied().collect();
            let event = message(&Subject::from_checked("a.b"), &headers, &Bytes::new(), "fresh");
            let event = event.unwrap();
            assert_eq!(event.position, Position::NONE);
            event.id
        };
        assert_eq!(id(&[]), "fresh");
        assert_eq!(id(&[("Nats-Msg-Id", "m1")]), "m1");
        assert_eq!(id(&[&[("Nats-Msg-Id", "m1")], &WHOLE[..]].concat()), "1");
    }
}
