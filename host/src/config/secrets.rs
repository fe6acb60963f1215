//! `[host.secrets]`: where this host finds the secrets that handlers are granted by name.

use std::{collections::BTreeMap, path::PathBuf};

use waxwing_event::{SecretName, secret::SecretPlace};

use super::{
    document::Kind,
    forms, keys,
    problem::Problems,
    section::{Keys, Section},
};

/// The places. What stands there instead of one may be a secret, so it is not told.
pub(super) fn read(host: &Section<'_>, problems: &mut Problems) -> BTreeMap<SecretName, SecretPlace> {
    let secrets = host.section("secrets", Keys::Any, problems);
    let mut places = BTreeMap::new();
    for member in secrets.table().map(|table| table.members.as_slice()).unwrap_or_default() {
        let name = match member.key.parse::<SecretName>() {
            Ok(name) => name,
            Err(why) => {
                problems.error(&member.key_place, format!("a secret's name is refused: {why}"));
                continue;
            }
        };
        if !matches!(member.value.kind, Kind::Table(_)) {
            let text = format!(
                "`{name}` in [host.secrets] is {}: write where the host finds it, {{ file = \"…\" }} or {{ env = \"…\" }}, \
                 and never the secret itself",
                member.value.kind.name()
            );
            problems.error(&member.value.place, text);
            continue;
        }
        let section = secrets.section(name.as_str(), Keys::Only(keys::SECRET), problems);
        places.extend(read_place(&section, problems).map(|place| (name, place)));
    }
    places
}

fn read_place(section: &Section<'_>, problems: &mut Problems) -> Option<SecretPlace> {
    let file = section.read("file", forms::text, problems);
    let variable = section.read("env", forms::text, problems);
    match (file, variable) {
        (Some(file), None) if !file.is_empty() => Some(SecretPlace::File(PathBuf::from(file))),
        (None, Some(name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
            Some(SecretPlace::Variable(name))
        }
        _ => {
            let text = format!(
                "{} names no place: write one of `file`, a path, and `env`, the name of a variable",
                section.title()
            );
            problems.error(section.place(), text);
            None
        }
    }
}
