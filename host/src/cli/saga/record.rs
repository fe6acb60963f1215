//! What a saga's handler keeps of an instance, as the SDK writes it. Read leniently: an older or newer SDK's instance
//! is shown as far as it is understood.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// An instance: `saga/<key>`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) status: String,
    /// The step that is under way.
    pub(super) step: Option<String>,
    /// When the event came that has started it.
    pub(super) started: Option<String>,
    pub(super) steps: Steps,
    /// Why it was cancelled.
    pub(super) reason: Option<String>,
    /// What it remembers, as its handler has it.
    pub(super) data: Value,
}

/// How far each step is, in the order of the plan: an object in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps(pub(super) Vec<(String, String)>);

/// One line of `trail/<key>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Happened {
    pub(super) time: Option<String>,
    /// The event by which it happened.
    pub(super) event: Cause,
    pub(super) what: String,
}

/// An event by its name: what has caused something, or one of `waiting/<key>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cause {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, state)| (name, state)))
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Steps, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Steps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("steps by their names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Steps, A::Error> {
                let mut steps = Vec::new();
                while let Some((name, state)) = map.next_entry::<String, Value>()? {
                    // A state of another form is shown as it is.
                    let state = state.as_str().map_or_else(|| state.to_string(), str::to_owned);
                    steps.push((name, state));
                }
                Ok(Steps(steps))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Record {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn reads_what_the_sdk_writes_with_the_steps_in_their_order() {
        let text = r#"{"status":"cancelled","step":null,"started":"2026-05-01T10:00:00Z",
            "steps":{"stock":"undone","payment":"timed-out","address":"waiting"},"reason":"no reply","data":{"n":1}}"#;
        let record = read(text);
        assert_eq!((record.status.as_str(), record.step.as_deref()), ("cancelled", None));
        let steps: Vec<&str> = record.steps.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(steps, ["stock", "payment", "address"]);
        assert_eq!((record.reason.as_deref(), &record.data), (Some("no reply"), &json!({ "n": 1 })));
        assert_eq!(read(&serde_json::to_string(&record).unwrap()), record);
        assert_eq!(serde_json::to_value(&record.steps).unwrap()["payment"], "timed-out");
    }

    #[test]
    fn reads_what_another_sdk_may_write() {
        assert_eq!(read("{}"), Record::default());
        let record = read(r#"{"status":"paused","steps":{"a":{"begun":3}},"version":2}"#);
        assert_eq!((record.status.as_str(), &record.steps.0[0].1), ("paused", &r#"{"begun":3}"#.to_owned()));
        let line: Happened =
            serde_json::from_value(json!({ "what": "a begun", "event": { "id": "1" } })).unwrap();
        assert_eq!((line.what.as_str(), line.event.id.as_str(), line.time), ("a begun", "1", None));
        let event = json!({ "id": "1", "type": "paid", "time": "now", "source": "/x", "data": [1] });
        let event: Cause = serde_json::from_value(event).unwrap();
        assert_eq!((event.event_type.as_str(), event.time.as_deref()), ("paid", Some("now")));
    }
}
