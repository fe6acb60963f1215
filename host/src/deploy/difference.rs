//! What a version of a handler newly may do, and what else is different: found by comparing what two manifests say.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// Keys whose values are lists, also where one value stands alone.
const LISTS: [&str; 4] = ["on", "request", "live", "key"];

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The key in the handler's table, such as `grants.emit`; `imports` for what its module asks of the host.
    pub key: String,
    /// What it was; none: it is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is; none: it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// True where the handler hears, may do or may use what it did not before.
    pub widens: bool,
}

/// A version, as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What the manifest says.
    pub manifest: &'a Value,
    /// What the module asks of the host; none: it is not known.
    pub imports: Option<&'a BTreeSet<String>>,
}

/// What is different, by key; everything where there is no version before.
pub fn difference(before: Option<Side<'_>>, after: Side<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    let nothing = Value::Object(Map::new());
    compare("", Some(before.map_or(&nothing, |side| side.manifest)), Some(after.manifest), &mut changes);
    let none = BTreeSet::new();
    let imports = match before {
        Some(side) => side.imports.zip(after.imports),
        None => Some(&none).zip(after.imports),
    };
    if let Some((before, after)) = imports {
        let names = |of: &BTreeSet<String>| Value::Array(of.iter().cloned().map(Value::String).collect());
        compare("imports", Some(&names(before)), Some(&names(after)), &mut changes);
    }
    changes
}

fn compare(key: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let mut note = |before: Option<&Value>, after: Option<&Value>| {
        let widens = after.is_some() && widens(key, before, after);
        changes.push(Change { key: key.to_owned(), before: before.cloned(), after: after.cloned(), widens });
    };
    match (before, after) {
        (Some(Value::Object(_)), Some(Value::Object(_)) | None) | (None, Some(Value::Object(_))) => {
            let empty = Map::new();
            let (before, after) = (
                before.and_then(Value::as_object).unwrap_or(&empty),
                after.and_then(Value::as_object).unwrap_or(&empty),
            );
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for inner in keys {
                let path = if key.is_empty() { inner.clone() } else { format!("{key}.{inner}") };
                compare(&path, before.get(inner), after.get(inner), changes);
            }
        }
        _ if is_list(key, before) || is_list(key, after) => {
            let (before, after) = (items(before), items(after));
            after.iter().filter(|item| !before.contains(item)).for_each(|item| note(None, Some(item)));
            before.iter().filter(|item| !after.contains(item)).for_each(|item| note(Some(item), None));
        }
        _ => note(before, after),
    }
}

fn is_list(key: &str, value: Option<&Value>) -> bool {
    LISTS.contains(&key) || matches!(value, Some(Value::Array(_)))
}

fn items(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(alone) => vec![alone],
        None => Vec::new(),
    }
}

/// True where a change lets the handler hear, do or use more. Limits widen whatever their values are: somebody should look.
fn widens(key: &str, before: Option<&Value>, after: Option<&Value>) -> bool {
    let is_right = key.starts_with("grants.") && !key.starts_with("grants.settings");
    let is_source = ["on", "request", "live", "stream", "aggregate", "publish", "imports"].contains(&key);
    let is_limit =
        key.starts_with("limits.") || ["memory", "deadline", "concurrency", "partitions"].contains(&key);
    is_right || is_source || (is_limit && before != after)
}

impl Change {
    /// What it means, in words.
    pub fn what(&self) -> String {
        match self.key.as_str() {
            "on" => "hears".to_owned(),
            "request" => "answers requests on".to_owned(),
            "live" => "hears live messages on".to_owned(),
            "stream" => "reads the stream".to_owned(),
            "aggregate" => "appends to histories on".to_owned(),
            "publish" => "shows its state as".to_owned(),
            "imports" => "imports".to_owned(),
            "grants.emit" => "may emit".to_owned(),
            "grants.publish" => "may publish outside the log".to_owned(),
            "grants.live" => "may publish live".to_owned(),
            "grants.request" => "may ask".to_owned(),
            "grants.http" => "may call".to_owned(),
            "grants.secrets" => "may read the secret".to_owned(),
            "grants.files" => "may use the files".to_owned(),
            key => key.trim_start_matches("grants.").to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changes(before: &Value, after: &Value) -> Vec<(String, Option<Value>, Option<Value>, bool)> {
        let side = |manifest| Side { manifest, imports: None };
        let changes = difference(Some(side(before)), side(after));
        changes.into_iter().map(|c| (c.key, c.before, c.after, c.widens)).collect()
    }

    #[test]
    fn tells_what_a_version_newly_may_do() {
        let before = json!({
            "on": "orders.placed", "deadline": "1s", "grants": { "emit": ["a.b", "a.c"], "settings": { "x": 1 } },
        });
        let after = json!({
            "on": ["orders.placed", "orders.paid"], "deadline": "2s",
            "grants": { "emit": ["a.b"], "http": ["https://example.com"], "settings": { "x": 2 } },
        });
        let text = |text: &str| Some(Value::from(text));
        assert_eq!(
            changes(&before, &after),
            [
                ("deadline".to_owned(), text("1s"), text("2s"), true),
                ("grants.emit".to_owned(), text("a.c"), None, false),
                ("grants.http".to_owned(), None, text("https://example.com"), true),
                ("grants.settings.x".to_owned(), Some(1.into()), Some(2.into()), false),
                ("on".to_owned(), None, text("orders.paid"), true),
            ]
        );
        assert_eq!(changes(&after, &after), []);
    }

    #[test]
    fn a_table_that_goes_or_comes_is_told_by_its_keys() {
        let with = json!({ "grants": { "emit": ["a.b"] }, "retry": { "attempts": 3 } });
        let without = json!({});
        assert_eq!(changes(&with, &without).len(), 2);
        assert_eq!(changes(&without, &with).iter().filter(|change| change.3).count(), 1);
    }

    #[test]
    fn what_a_module_newly_imports_is_told() {
        let manifest = json!({});
        let imports = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let (before, after) = (imports(&["emit", "state"]), imports(&["emit", "http"]));
        let side = |imports| Side { manifest: &manifest, imports: Some(imports) };
        let found = difference(Some(side(&before)), side(&after));
        let found: Vec<_> = found.iter().map(|c| (c.what(), c.after.clone(), c.widens)).collect();
        assert_eq!(
            found,
            [("imports".to_owned(), Some("http".into()), true), ("imports".to_owned(), None, false),]
        );
        assert_eq!(difference(None, side(&after)).len(), 2);
    }
}
