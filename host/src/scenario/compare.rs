//! Where what came differs from what was said, or from what came without a fault. Pure.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    came::Came,
    form::Then,
    value::{is_any, is_none, is_same, none, resolved},
};

/// A place where two values differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The step, from 1.
    pub step: usize,
    /// Where: `emitted[0].data.price`.
    pub path: String,
    /// What was expected there; none: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// What came; none: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub came: Option<Value>,
}

/// Collects the differences of a step.
struct Differences {
    step: usize,
    found: Vec<Difference>,
}

/// Where a step came otherwise than a file says. Without a `then`, only dead letters are looked at.
pub fn with_file(step: usize, then: Option<&Then>, came: &Came) -> Result<Vec<Difference>> {
    let nothing = Then::default();
    let then = then.unwrap_or(&nothing);
    let mut differences = Differences { step, found: Vec::new() };
    if let Some(emitted) = &then.emitted {
        differences.list("emitted", emitted, &came.emitted)?;
    }
    differences.list("dead", &then.dead, &came.dead)?;
    if let Some(parked) = &then.parked {
        differences.list("parked", parked, &came.parked)?;
    }
    if let Some(reply) = &then.reply {
        match &came.reply {
            Some(came) => differences.fields("reply", reply, came)?,
            None => differences.note("reply", Some(Value::Object(reply.clone())), None),
        }
    }
    for (handler, keys) in &then.state {
        for (key, expected) in keys {
            let came = came.state.get(handler).and_then(|keys| keys.get(key));
            differences.whole(&format!("state.{handler}.{}", quoted(key)), expected, came)?;
        }
    }
    for (handler, timers) in &then.timers {
        for (id, expected) in timers {
            let (path, came) = (
                format!("timers.{handler}.{}", quoted(id)),
                came.timers.get(handler).and_then(|all| all.get(id)),
            );
            match (expected.as_object(), came) {
                (Some(fields), Some(came)) if !is_none(expected) && !is_any(expected) => {
                    differences.fields(&path, fields, came)?
                }
                (_, came) => differences.whole(&path, expected, came)?,
            }
        }
    }
    for (handler, expected) in &then.runs {
        let came = came.runs.get(handler).copied().unwrap_or_default();
        differences.values(&format!("runs.{handler}"), &json!(expected), &json!(came));
    }
    Ok(differences.found)
}

/// Where steps came otherwise under a fault. What a fault may change is left aside: ids of events where they are no more
/// than names, positions, the order of what is emitted, and how often something was tried.
pub fn under_fault(without: &[Came], with: &[Came]) -> Vec<Difference> {
    let (without, with) = (plain(without), plain(with));
    let steps = (1..).zip(without.iter().zip(&with));
    let mut all = Vec::new();
    for (step, (without, with)) in steps {
        let mut differences = Differences { step, found: Vec::new() };
        differences.values("", without, with);
        all.extend(differences.found);
    }
    all
}

impl Differences {
    fn note(&mut self, path: &str, expected: Option<Value>, came: Option<Value>) {
        self.found.push(Difference { step: self.step, path: path.to_owned(), expected, came });
    }

    /// All of a list, of each item the fields that are named.
    fn list(&mut self, path: &str, expected: &[Map<String, Value>], came: &[Value]) -> Result<()> {
        for place in 0..expected.len().max(came.len()) {
            let path = format!("{path}[{place}]");
            match (expected.get(place), came.get(place)) {
                (Some(expected), Some(came)) => self.fields(&path, expected, came)?,
                (Some(expected), None) => self.note(&path, Some(Value::Object(expected.clone())), None),
                (None, came) => self.note(&path, None, came.map(told)),
            }
        }
        Ok(())
    }

    /// The fields that are named.
    fn fields(&mut self, path: &str, expected: &Map<String, Value>, came: &Value) -> Result<()> {
        for (name, expected) in expected {
            self.whole(
                &format!("{path}.{name}"),
                expected,
                came.get(name).filter(|came| !came.is_null() || name == "data"),
            )?;
        }
        Ok(())
    }

    /// All of a value.
    fn whole(&mut self, path: &str, expected: &Value, came: Option<&Value>) -> Result<()> {
        let expected = resolved(expected.clone())?;
        match came {
            _ if is_any(&expected) => {}
            Some(came) => self.values(path, &expected, came),
            None if is_none(&expected) => {}
            None => self.note(path, Some(expected), None),
        }
        Ok(())
    }

    fn values(&mut self, path: &str, expected: &Value, came: &Value) {
        let below =
            |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{}", quoted(name)) };
        match (expected, came) {
            (expected, _) if is_any(expected) => {}
            (expected, came) if is_none(expected) && is_none(came) => {}
            (expected, came) if is_none(expected) => self.note(path, None, Some(came.clone())),
            (Value::Object(expected), Value::Object(came)) => {
                for (name, expected) in expected {
                    match came.get(name) {
                        Some(came) => self.values(&below(name), expected, came),
                        None if is_any(expected) || is_none(expected) => {}
                        None => self.note(&below(name), Some(expected.clone()), None),
                    }
                }
                for (name, came) in came.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                    self.note(&below(name), None, Some(came.clone()));
                }
            }
            (Value::Array(expected), Value::Array(came)) => {
                for place in 0..expected.len().max(came.len()) {
                    let path = format!("{path}[{place}]");
                    match (expected.get(place), came.get(place)) {
                        (Some(expected), Some(came)) => self.values(&path, expected, came),
                        (expected, came) => self.note(&path, expected.cloned(), came.cloned()),
                    }
                }
            }
            (expected, came) if is_same(expected, came) => {}
            (expected, came) => self.note(path, Some(expected.clone()), Some(came.clone())),
        }
    }
}

/// An item as it is shown where nobody has said which fields matter.
fn told(item: &Value) -> Value {
    let Value::Object(fields) = item else { return item.clone() };
    let matter = ["handler", "subject", "about", "id", "kind", "reason", "attempts", "data"];
    let is_event = fields.contains_key("correlation");
    let shown = fields.iter().filter(|(name, value)| {
        matter.contains(&name.as_str()) && !value.is_null() && !(is_event && *name == "id")
    });
    Value::Object(shown.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn quoted(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    if is_plain { name.to_owned() } else { format!("{name:?}") }
}

/// What a fault leaves as it is.
fn plain(steps: &[Came]) -> Vec<Value> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for event in steps.iter().flat_map(|came| &came.emitted) {
        let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
        let cause = names.get(text("causation")).cloned().or_else(|| of_timer(text("causation")));
        if let Some(cause) = &cause {
            names.insert(text("causation").to_owned(), cause.clone());
        }
        let cause = cause.unwrap_or_else(|| text("causation").to_owned());
        let base = format!("<{} of {cause} by {}", text("subject"), text("handler"));
        let same = names.values().filter(|name| name.starts_with(&base)).count();
        names.insert(text("id").to_owned(), format!("{base} {same}>"));
    }
    steps.iter().map(|came| named(&plain_step(came), &names)).collect()
}

/// The name of a timer's event: its id is made by the host, of the position at which its timer was set.
fn of_timer(id: &str) -> Option<String> {
    let is_made = Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 5);
    is_made.then(|| "<a timer>".to_owned())
}

fn plain_step(came: &Came) -> Value {
    let without = |items: &[Value], fields: &[&str]| {
        let mut items = items.to_vec();
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.retain(|name, _| !fields.contains(&name.as_str()));
        }
        items
    };
    let reply = came.reply.clone().unwrap_or_else(none);
    json!({
        "emitted": without(&came.emitted, &[]), "reply": reply, "state": came.state, "timers": came.timers,
        "dead": without(&came.dead, &["attempts"]), "parked": without(&came.parked, &["attempts", "due"]),
    })
}

/// With names in place of ids, and lists in an order of their own.
fn named(value: &Value, names: &BTreeMap<String, String>) -> Value {
    let mut text = value.to_string();
    for (id, name) in names.iter().filter(|(id, _)| !id.is_empty()) {
        text = text.replace(id.as_str(), name.replace('"', "'").as_str());
    }
    let mut value: Value = serde_json::from_str(&text).unwrap_or_default();
    for list in ["emitted", "dead", "parked"] {
        if let Some(items) = value.get_mut(list).and_then(Value::as_array_mut) {
            items.sort_by_cached_key(Value::to_string);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn then(text: &str) -> Then {
        toml::from_str(text).unwrap()
    }

    fn event(id: &str, cause: &str, data: Value) -> Value {
        json!({ "handler": "h", "subject": "a.b", "id": id, "causation": cause, "correlation": "c", "data": data })
    }

    fn paths(differences: &[Difference]) -> Vec<&str> {
        differences.iter().map(|difference| difference.path.as_str()).collect()
    }

    #[test]
    fn looks_at_named_fields_and_at_all_of_their_values() {
        let came = Came { emitted: vec![event("1", "0", json!({ "x": 1, "y": [1, 2] }))], ..Came::default() };
        let differs = |text: &str| with_file(1, Some(&then(text)), &came).unwrap();
        assert_eq!(differs(r#"emitted = [{ subject = "a.b" }]"#), []);
        assert_eq!(differs(r#"emitted = [{ data = { x = 1.0, y = [1, 2] } }]"#), []);
        assert_eq!(differs(r#"emitted = [{ data = { x = { "$any" = true }, y = [1, 2] } }]"#), []);
        let found = differs(r#"emitted = [{ subject = "a.c", data = { x = 1, y = [1, 3, 4], z = 0 } }]"#);
        let expected =
            ["emitted[0].data.y[1]", "emitted[0].data.y[2]", "emitted[0].data.z", "emitted[0].subject"];
        assert_eq!(paths(&found), expected);
        assert_eq!((found[0].expected.clone(), found[0].came.clone()), (Some(json!(3)), Some(json!(2))));
        assert_eq!(paths(&differs("emitted = []")), ["emitted[0]"]);
        assert_eq!(with_file(1, None, &came).unwrap(), []);
    }

    #[test]
    fn a_dead_letter_that_nobody_expects_is_a_difference() {
        let came = Came { dead: vec![json!({ "reason": "why", "attempts": 1 })], ..Came::default() };
        assert_eq!(paths(&with_file(2, None, &came).unwrap()), ["dead[0]"]);
        assert_eq!(with_file(2, Some(&then(r#"dead = [{ reason = "why" }]"#)), &came).unwrap(), []);
    }

    #[test]
    fn what_is_not_there_can_be_said() {
        let state = [("h".to_owned(), [("k".to_owned(), json!(null))].into())].into();
        let came = Came { state, ..Came::default() };
        let differs = |text: &str| with_file(1, Some(&then(text)), &came).unwrap();
        assert_eq!(differs(r#"state.h = { k = { "$json" = "null" }, gone = { "$none" = true } }"#), []);
        assert_eq!(
            paths(&differs(r#"state.h = { k = { "$none" = true }, gone = 1 }"#)),
            ["state.h.gone", "state.h.k"]
        );
    }

    #[test]
    fn ids_are_names_under_faults() {
        let steps = |one: &str, two: &str| {
            let state = [("h".to_owned(), [("last".to_owned(), json!({ "id": two }))].into())].into();
            let emitted = vec![event(one, "e", json!(1)), event(two, one, json!(2))];
            vec![Came { emitted, state, ..Came::default() }]
        };
        assert_eq!(under_fault(&steps("u1", "u2"), &steps("u3", "u4")), []);
        let timers = |id: &str| vec![Came { emitted: vec![event("u1", id, json!(1))], ..Came::default() }];
        let (one, two) = (Uuid::new_v5(&Uuid::NAMESPACE_OID, b"1"), Uuid::new_v5(&Uuid::NAMESPACE_OID, b"2"));
        assert_eq!(under_fault(&timers(&one.to_string()), &timers(&two.to_string())), []);
        let mut other = steps("u3", "u4");
        other[0].emitted[1]["data"] = json!(3);
        // Lists are compared in an order of their own, in which what has a cause among them is first.
        assert_eq!(paths(&under_fault(&steps("u1", "u2"), &other)), ["emitted[0].data"]);
    }
}
