//! An instance as it is kept: `saga/<key>`.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is known of an instance. It tells of nothing that depends on the order in which events came.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record<S> {
    pub(super) status: Status,
    /// The step that is not done; none after the end.
    pub(super) step: Option<String>,
    /// The time of the event that has started it.
    pub(super) started: Option<String>,
    pub(super) steps: Steps,
    /// Why it was cancelled.
    pub(super) reason: Option<String>,
    pub(super) data: S,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Running,
    Completed,
    Cancelled,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StepState {
    Waiting,
    Begun,
    Done,
    Failed,
    TimedOut,
    Undone,
}

/// The state of each step, in the plan's order: an object in JSON.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps(Vec<(String, StepState)>);

impl Steps {
    /// A step that the record does not know waits: the plan is newer.
    pub(super) fn of(&self, step: &str) -> StepState {
        self.0.iter().find(|(name, _)| name == step).map_or(StepState::Waiting, |(_, state)| *state)
    }

    pub(super) fn set(&mut self, step: &str, state: StepState) {
        match self.0.iter_mut().find(|(name, _)| name == step) {
            Some((_, known)) => *known = state,
            None => self.0.push((step.to_owned(), state)),
        }
    }
}

impl Serialize for Steps {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_map(self.0.iter().map(|(name, state)| (name, state)))
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Steps;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("steps by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Steps, A::Error> {
        let mut steps = Vec::new();
        while let Some(step) = map.next_entry()? {
            steps.push(step);
        }
        Ok(Steps(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_steps() {
        let mut steps = Steps::default();
        for name in ["stock", "payment", "address"] {
            steps.set(name, StepState::Waiting);
        }
        steps.set("stock", StepState::TimedOut);
        let json = serde_json::to_string(&steps).unwrap();
        assert_eq!(json, r#"{"stock":"timed-out","payment":"waiting","address":"waiting"}"#);
        assert_eq!(serde_json::from_str::<Steps>(&json).unwrap(), steps);
    }
}
