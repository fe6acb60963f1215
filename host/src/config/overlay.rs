//! `WAXWING_…` variables over the manifest: `WAXWING_APP_RETENTION`, `WAXWING_HANDLERS_BASKET_CONCURRENCY`.
//!
//! The words of a path in the manifest, in capitals, joined by `_`; a `-` becomes `_` too. Variables that
//! begin otherwise than with `WAXWING_APP_`, `WAXWING_HOST_` or `WAXWING_HANDLERS_` mean something else.

use super::{
    document::{self, Kind, Table, Value},
    key::{Key, names},
    keys,
    problem::{Place, Problems},
};

/// Lays the variables over the manifest.
pub(super) fn lay(
    manifest: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
    problems: &mut Problems,
) {
    let mut sorted: Vec<(String, String)> = variables.into_iter().collect();
    sorted.sort();
    for (name, text) in sorted {
        let Some(rest) = name.strip_prefix("WAXWING_") else { continue };
        if !["APP_", "HOST_", "HANDLERS_"].iter().any(|start| rest.starts_with(start)) {
            continue;
        }
        let place = Place::Variable(name.clone());
        match (path(rest, manifest), value(&text, &place)) {
            (Some(path), Ok(value)) => set(manifest, &path, value, &place, problems),
            (None, _) => problems.error(&place, "it names nothing in the manifest: correct it, or unset it"),
            (_, Err(why)) => problems.error(&place, format!("its value is not TOML: {why}")),
        }
    }
}

fn set(manifest: &mut Table, path: &[String], value: Value, place: &Place, problems: &mut Problems) {
    let Some((last, tables)) = path.split_last() else { return };
    let table = tables.iter().try_fold(manifest, |table, key| table.table_mut(key, place));
    match table {
        Some(table) => table.set(last, value),
        None => problems.error(place, "a part of its path is no table in the manifest"),
    }
}

/// Numbers and lists are read as TOML; everything else is a text as it stands.
fn value(text: &str, place: &Place) -> Result<Value, String> {
    if text.starts_with(['[', '{']) {
        return document::read_value(text, place);
    }
    let kind = text.parse().map_or_else(|_| Kind::Text(text.to_owned()), Kind::Whole);
    Ok(Value { place: place.clone(), kind })
}

/// The path in the manifest that a variable stands for.
fn path(rest: &str, manifest: &Table) -> Option<Vec<String>> {
    let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    if let Some(rest) = rest.strip_prefix("APP_") {
        return Some(owned(&["app", known(rest, keys::APP)?]));
    }
    if let Some(rest) = rest.strip_prefix("HOST_") {
        return Some(owned(&["host", known(rest, keys::HOST)?]));
    }
    handler_path(rest.strip_prefix("HANDLERS_")?, table(manifest, "handlers")?)
}

fn handler_path(rest: &str, handlers: &Table) -> Option<Vec<String>> {
    let mut names: Vec<&str> = handlers.members.iter().map(|member| member.key.as_str()).collect();
    // The longest name first: `basket-limits` before `basket`.
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().find_map(|name| {
        let key = rest.strip_prefix(&variable(name))?.strip_prefix('_')?;
        let within = within_handler(key, table(handlers, name)?)?;
        Some(["handlers".to_owned(), name.to_owned()].into_iter().chain(within).collect())
    })
}

fn within_handler(key: &str, handler: &Table) -> Option<Vec<String>> {
    if let Some(limit) = key.strip_prefix("LIMITS_") {
        return Some(vec!["limits".to_owned(), known(limit, keys::LIMITS)?.to_owned()]);
    }
    if let Some(outbox) = key.strip_prefix("OUTBOX_") {
        return Some(vec!["outbox".to_owned(), known(outbox, keys::OUTBOX)?.to_owned()]);
    }
    if let Some(http) = key.strip_prefix("HTTP_") {
        return Some(vec!["http".to_owned(), known(http, keys::HTTP)?.to_owned()]);
    }
    if let Some(setting) = key.strip_prefix("GRANTS_SETTINGS_") {
        let settings = table(handler, "grants").and_then(|grants| table(grants, "settings"));
        let names = settings.map(|table| table.members.iter().map(|member| member.key.clone()).collect());
        let names: Vec<String> = names.unwrap_or_default();
        let name = names
            .into_iter()
            .find(|name| variable(name) == setting)
            .unwrap_or_else(|| setting.to_lowercase());
        return Some(vec!["grants".to_owned(), "settings".to_owned(), name]);
    }
    if let Some(grant) = key.strip_prefix("GRANTS_") {
        let grant = known(grant, keys::GRANTS).filter(|grant| *grant != "settings")?;
        return Some(vec!["grants".to_owned(), grant.to_owned()]);
    }
    known(key, keys::HANDLER)
        .filter(|key| !["limits", "grants", "outbox", "http"].contains(key))
        .map(|key| vec![key.to_owned()])
}

fn table<'t>(table: &'t Table, key: &str) -> Option<&'t Table> {
    match &table.get(key)?.value.kind {
        Kind::Table(table) => Some(table),
        _ => None,
    }
}

fn known(variable_part: &str, keys: &'static [Key]) -> Option<&'static str> {
    names(keys).find(|key| variable(key) == variable_part)
}

fn variable(key: &str) -> String {
    key.to_uppercase().replace('-', "_")
}
