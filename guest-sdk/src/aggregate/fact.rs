//! What has happened, as serde writes it with a tag and a content.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

const TAG: &str = "type";
const CONTENT: &str = "data";

/// The type and the data of what has happened; no data where there is none.
pub(crate) fn to_fact(fact: &impl Serialize) -> Result<(String, Option<Value>), serde_json::Error> {
    let shape = || {
        serde_json::Error::custom(
            "an aggregate's event must be an enum with `#[serde(tag = \"type\", content = \"data\")]`",
        )
    };
    let Value::Object(mut members) = serde_json::to_value(fact)? else { return Err(shape()) };
    let Some(Value::String(event_type)) = members.remove(TAG) else { return Err(shape()) };
    let data = members.remove(CONTENT);
    if members.is_empty() { Ok((event_type, data)) } else { Err(shape()) }
}

/// What has happened, from its type and its data.
pub(crate) fn from_fact<E: DeserializeOwned>(event_type: &str, data: Value) -> Result<E, serde_json::Error> {
    let tagged = |data: Option<Value>| {
        let tag = (TAG.to_owned(), Value::String(event_type.to_owned()));
        let content = data.map(|data| (CONTENT.to_owned(), data));
        Value::Object(Map::from_iter([tag].into_iter().chain(content)))
    };
    // Where it says nothing more, serde wants no content at all.
    let data = if data.is_null() { None } else { Some(data) };
    serde_json::from_value(tagged(data))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type", content = "data", rename_all = "kebab-case")]
    enum Change {
        Opened,
        Deposited { amount: i64 },
        Renamed(String),
    }

    #[test]
    fn comes_back_as_it_was() {
        for change in [Change::Opened, Change::Deposited { amount: 1 }, Change::Renamed("x".into())] {
            let (event_type, data) = to_fact(&change).unwrap();
            assert_eq!(from_fact::<Change>(&event_type, data.unwrap_or_default()).unwrap(), change);
        }
        let (event_type, data) = to_fact(&Change::Deposited { amount: 1 }).unwrap();
        assert_eq!((event_type.as_str(), data), ("deposited", Some(json!({ "amount": 1 }))));
    }

    #[test]
    fn other_shapes_are_refused() {
        #[derive(Serialize)]
        enum Untagged {
            Opened,
            Deposited { amount: i64 },
        }
        for refused in [to_fact(&Untagged::Opened), to_fact(&Untagged::Deposited { amount: 1 }), to_fact(&1)]
        {
            assert!(refused.unwrap_err().to_string().contains("tag = \"type\""));
        }
        assert!(from_fact::<Change>("closed", Value::Null).is_err());
    }
}
