//! What keeps events in order: where an event's key is found.

use std::{fmt, str::FromStr};

use serde::{
    Serialize,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

use crate::Event;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// One place where a key may stand. Written as in a manifest: `data.order.id`, `subject.2`, `ce.partitionkey`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum KeySource {
    /// A field of the event's JSON data, by the names on the way to it.
    Data(Vec<String>),
    /// A token of the subject, counted from 1.
    SubjectToken(usize),
    /// An attribute of the event, by its CloudEvents name.
    Attribute(String),
}

/// Why a text names no place for a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no place for a key: write `data.FIELD`, `subject.N` (counted from 1) or `ce.ATTRIBUTE`")]
pub struct KeySourceError(String);

/// Why an event has no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// None of the places has a value.
    #[error("the event has no key: nothing at {0}")]
    Missing(String),
    /// A field of the data is asked for, and the data has none; none of the other places has a value.
    #[error("the event has no key: the data is not JSON{0}")]
    NotJson(String),
    /// Over [`MAX_KEY_BYTES`].
    #[error("the event's key is {0} bytes long: at most {MAX_KEY_BYTES} are allowed")]
    TooLong(usize),
}

impl KeySource {
    fn find(&self, event: &Event) -> Option<String> {
        match self {
            KeySource::Data(path) => find_in_json(&event.data, path),
            KeySource::SubjectToken(n) => event.subject.tokens().nth(n.checked_sub(1)?).map(str::to_owned),
            KeySource::Attribute(name) => attribute(event, name).map(str::to_owned),
        }
    }
}

/// The key of an event: the first of `sources` that has a value; none where no source is asked for.
pub fn key_of(event: &Event, sources: &[KeySource]) -> Result<Option<String>, KeyError> {
    if sources.is_empty() {
        return Ok(None);
    }
    match sources.iter().find_map(|source| source.find(event)) {
        Some(key) if key.len() > MAX_KEY_BYTES => Err(KeyError::TooLong(key.len())),
        Some(key) => Ok(Some(key)),
        None => Err(nowhere(event, sources)),
    }
}

fn nowhere(event: &Event, sources: &[KeySource]) -> KeyError {
    let is_data = |source: &&KeySource| matches!(source, KeySource::Data(_));
    let listed = |places: Vec<&KeySource>| {
        let places: Vec<String> = places.into_iter().map(|place| format!("`{place}`")).collect();
        places.join(" or ")
    };
    let (fields, others): (Vec<_>, Vec<_>) = sources.iter().partition(is_data);
    if fields.is_empty() || serde_json::from_slice::<IgnoredAny>(&event.data).is_ok() {
        return KeyError::Missing(listed(sources.iter().collect()));
    }
    match others.is_empty() {
        true => KeyError::NotJson(String::new()),
        false => KeyError::NotJson(format!(", and nothing is at {}", listed(others))),
    }
}

fn attribute<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    match name {
        "id" => Some(&event.id),
        "source" => Some(&event.source),
        "type" => Some(&event.event_type),
        "subject" => event.about.as_deref(),
        "correlationid" => Some(&event.correlation_id),
        "causationid" => event.causation_id.as_deref(),
        name => event.extension(name),
    }
}

/// Walks to one field and skips the rest without building values.
fn find_in_json(data: &[u8], path: &[String]) -> Option<String> {
    let mut json = serde_json::Deserializer::from_slice(data);
    Field(path).deserialize(&mut json).ok().flatten()
}

struct Field<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<String>;

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<Option<String>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Option<String>, M::Error> {
        let Some((first, rest)) = self.0.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == first.as_str() {
                found = map.next_value_seed(Field(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<S: de::SeqAccess<'de>>(self, mut seq: S) -> Result<Option<String>, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| text.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| number.to_string()))
    }

    fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| yes.to_string()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
}

impl FromStr for KeySource {
    type Err = KeySourceError;

    fn from_str(text: &str) -> Result<Self, KeySourceError> {
        let refused = || KeySourceError(text.to_owned());
        let (kind, rest) = text.split_once('.').ok_or_else(refused)?;
        if rest.split('.').any(str::is_empty) {
            return Err(refused());
        }
        match kind {
            "data" => Ok(KeySource::Data(rest.split('.').map(str::to_owned).collect())),
            "subject" => match rest.parse() {
                Ok(n) if n > 0 => Ok(KeySource::SubjectToken(n)),
                _ => Err(refused()),
            },
            "ce" if rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) => {
                Ok(KeySource::Attribute(rest.to_owned()))
            }
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Data(path) => write!(f, "data.{}", path.join(".")),
            KeySource::SubjectToken(n) => write!(f, "subject.{n}"),
            KeySource::Attribute(name) => write!(f, "ce.{name}"),
        }
    }
}

impl From<KeySource> for String {
    fn from(source: KeySource) -> String {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Headers, Position, decode};

    fn event(data: &str) -> Event {
        let subject = crate::Subject::from_checked("shop.eu.orders");
        let headers: Headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-region", "north"),
        ]
        .into_iter()
        .collect();
        decode::event(&subject, Position(1), &headers, &bytes::Bytes::copy_from_slice(data.as_bytes()))
            .unwrap()
    }

    fn key(data: &str, sources: &[&str]) -> Result<Option<String>, KeyError> {
        let sources: Vec<KeySource> = sources.iter().map(|s| s.parse().unwrap()).collect();
        key_of(&event(data), &sources)
    }

    #[test]
    fn finds_fields_tokens_and_attributes() {
        let data = r#"{"x":[1,{"a":2}],"a":{"b":"k","c":7},"y":null}"#;
        assert_eq!(key(data, &["data.a.b"]), Ok(Some("k".into())));
        assert_eq!(key(data, &["data.a.c"]), Ok(Some("7".into())));
        assert_eq!(key(data, &["subject.2"]), Ok(Some("eu".into())));
        assert_eq!(key(data, &["ce.region"]), Ok(Some("north".into())));
        assert_eq!(key(data, &[]), Ok(None));
    }

    #[test]
    fn takes_the_first_place_with_a_value_and_names_all_when_there_is_none() {
        assert_eq!(key(r#"{"b":1}"#, &["data.a", "data.b"]), Ok(Some("1".into())));
        for data in [r#"{"y":null}"#, r#"{"a":{"z":1}}"#, "[1]", "7"] {
            let error = key(data, &["data.a", "subject.9"]).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the event has no key: nothing at `data.a` or `subject.9`",
                "{data}"
            );
        }
    }

    #[test]
    fn says_where_data_is_not_json_that_a_field_of_it_cannot_be_there() {
        let said = |data, sources: &[&str]| key(data, sources).unwrap_err().to_string();
        for data in ["no json", "", r#"{"a":1"#] {
            assert_eq!(said(data, &["data.a", "data.b"]), "the event has no key: the data is not JSON");
            assert_eq!(
                said(data, &["data.a", "subject.9"]),
                "the event has no key: the data is not JSON, and nothing is at `subject.9`"
            );
            assert_eq!(said(data, &["subject.9"]), "the event has no key: nothing at `subject.9`");
        }
        assert_eq!(key("no json", &["data.a", "subject.2"]), Ok(Some("eu".into())));
    }

    #[test]
    fn bounds_the_length() {
        let data = |n: usize| format!(r#"{{"a":"{}"}}"#, "k".repeat(n));
        assert!(key(&data(MAX_KEY_BYTES), &["data.a"]).is_ok());
        assert_eq!(key(&data(MAX_KEY_BYTES + 1), &["data.a"]), Err(KeyError::TooLong(MAX_KEY_BYTES + 1)));
    }

    #[test]
    fn refuses_places_that_do_not_exist() {
        for text in ["", "data", "data.", "data.a..b", "subject.0", "subject.x", "ce.Name", "header.x"] {
            assert!(text.parse::<KeySource>().is_err(), "{text}");
        }
    }
}
