//! `files` in `[handlers.NAME.grants]`: directories that a handler may use.

use std::path::{Path, PathBuf};

use waxwing_event::files::{FileGrant, FileMode};

use super::{
    document::{Kind, Value},
    forms::{self, Placed, Refusal},
    keys,
    problem::Problems,
    section::{Keys, Section},
};

/// The directories; whether they are there is found when the handler is loaded.
pub(super) fn read(grants: &Section<'_>, problems: &mut Problems) -> Vec<FileGrant> {
    let items = grants.read("files", tables, problems).unwrap_or_default();
    let mut read: Vec<FileGrant> = Vec::new();
    for item in &items {
        let Some(Placed { value: grant, place }) = read_one(grants, item, problems) else { continue };
        if read.iter().any(|earlier| earlier.guest == grant.guest) {
            let text = format!("`files` in {} has `{}` twice: remove one", grants.title(), grant.guest);
            problems.error(&place, text);
        }
        read.push(grant);
    }
    read
}

fn tables(value: &Value) -> Result<Vec<Value>, Vec<Refusal>> {
    let items = match &value.kind {
        Kind::List(items) => items.clone(),
        _ => vec![value.clone()],
    };
    let is_table = |item: &&Value| matches!(item.kind, Kind::Table(_));
    match items.iter().find(|item| !is_table(item)) {
        None => Ok(items),
        Some(item) => {
            let why = format!(
                "has {}: write {{ host = \"data/basket\", guest = \"/data\", mode = \"ro\" }}",
                item.kind.name()
            );
            Err(vec![Refusal { place: item.place.clone(), why }])
        }
    }
}

fn read_one(grants: &Section<'_>, item: &Value, problems: &mut Problems) -> Option<Placed<FileGrant>> {
    let Kind::Table(table) = &item.kind else { return None };
    let title = format!("{}.files]", grants.title().trim_end_matches(']'));
    let section = Section::new(title, table, item.place.clone(), Keys::Only(keys::FILE_GRANT), problems);
    let host = section.require("host", "\"data/basket\"", host, problems);
    let guest = section.require("guest", "\"/data\"", guest, problems);
    let modes = [("ro", FileMode::Read), ("rw", FileMode::ReadWrite)];
    let mode = section.read("mode", |v| forms::choice(v, &modes), problems).unwrap_or_default();
    let grant = FileGrant { host: host?, guest: guest?, mode };
    Some(Placed { value: grant, place: item.place.clone() })
}

/// A path within the manifest's folder, such as `data/basket`.
fn host(value: &Value) -> Result<PathBuf, Vec<Refusal>> {
    let text = forms::text(value)?;
    let why = if text.is_empty() {
        Some("is empty")
    } else if Path::new(&text).is_absolute() || text.starts_with(['/', '\\']) || text.contains(':') {
        Some("is an absolute path")
    } else if text.split(['/', '\\']).any(|part| part == "..") {
        Some("has `..` in it")
    } else if text.split(['/', '\\']).all(|part| part.is_empty() || part == ".") {
        Some("is the manifest's own folder, in which the host keeps files of its own")
    } else if text.split(['/', '\\']).find(|part| !part.is_empty() && *part != ".") == Some(".waxwing") {
        Some("is the host's own")
    } else {
        None
    };
    match why {
        None => Ok(PathBuf::from(text)),
        Some(why) => {
            let why = format!(
                "is `{text}`, which {why}: name a folder within the manifest's, such as `data/basket`"
            );
            Err(vec![Refusal { place: value.place.clone(), why }])
        }
    }
}

/// An absolute path without surprises, such as `/data`.
fn guest(value: &Value) -> Result<String, Vec<Refusal>> {
    let text = forms::text(value)?;
    let parts = text.strip_prefix('/').map(|rest| rest.split('/').collect::<Vec<_>>());
    let plain = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains('\0');
    match parts {
        Some(parts) if text == "/" || parts.iter().all(plain) => Ok(text),
        Some(_) => refused(
            value,
            format!("is `{text}`: write it without `.`, `..` and empty parts, such as `/data`"),
        ),
        None => refused(
            value,
            format!("is `{text}`, which does not begin with `/`: write an absolute path, such as `/data`"),
        ),
    }
}

fn refused(value: &Value, why: String) -> Result<String, Vec<Refusal>> {
    Err(vec![Refusal { place: value.place.clone(), why }])
}
