//! What a module needs in its manifest, told from what it imports.

use serde::Serialize;
use waxwing_event::HandlerSpec;

/// A key of the manifest without which a part of the module is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Need {
    /// The key, within the handler's table.
    pub(super) key: &'static str,
    /// What for.
    pub(super) meaning: &'static str,
    /// Whether the manifest has it; none without a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) granted: Option<bool>,
}

const EMIT: (&str, &str) =
    ("grants.emit", "it emits events; subjects outside the log are granted as `publish` or `live`");
const SETTINGS: (&str, &str) = ("grants.settings", "it reads settings");
const SECRETS: (&str, &str) = ("grants.secrets", "it reads secrets");
const HTTP: (&str, &str) = ("grants.http", "it calls others over HTTP");
const FILES: (&str, &str) = ("grants.files", "it opens files");
const AGGREGATE: (&str, &str) = ("aggregate", "it keeps histories");

/// What these imports need; state, timers, replies and the log need nothing.
pub(super) fn needs(imports: &[String], spec: Option<&HandlerSpec>) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for import in imports {
        let interface = import.split('@').next().unwrap_or(import);
        let (key, meaning) = match interface {
            "waxwing:events/emit" => EMIT,
            "waxwing:events/settings" => SETTINGS,
            "waxwing:events/secrets" => SECRETS,
            "waxwing:events/aggregates" => AGGREGATE,
            "wasi:http/outgoing-handler" => HTTP,
            "wasi:filesystem/types" => FILES,
            _ => continue,
        };
        if needs.iter().all(|known| known.key != key) {
            needs.push(Need { key, meaning, granted: spec.map(|spec| has(spec, key)) });
        }
    }
    needs
}

fn has(spec: &HandlerSpec, key: &str) -> bool {
    let grants = &spec.grants;
    match key {
        "grants.emit" => !grants.is_empty(),
        "grants.settings" => !spec.settings.is_empty(),
        "grants.secrets" => !grants.secrets.is_empty(),
        "grants.http" => !grants.http.is_empty(),
        "grants.files" => !grants.files.is_empty(),
        _ => spec.aggregate.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_imports_need() {
        let imports = [
            "waxwing:events/types@0.1.0",
            "waxwing:events/emit@0.1.0",
            "waxwing:events/state@0.1.0",
            "waxwing:events/aggregates@0.1.0",
            "wasi:http/types@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
        ];
        let imports = imports.map(str::to_owned);
        let keys =
            |spec| needs(&imports, spec).into_iter().map(|need| (need.key, need.granted)).collect::<Vec<_>>();
        assert_eq!(keys(None), [("grants.emit", None), ("aggregate", None), ("grants.http", None)]);
        let mut spec = HandlerSpec::new("a".parse().unwrap(), Vec::new());
        spec.grants.live = vec!["a".parse().unwrap()];
        let found = [("grants.emit", Some(true)), ("aggregate", Some(false)), ("grants.http", Some(false))];
        assert_eq!(keys(Some(&spec)), found);
    }
}
