//! One table of the manifest: hands out its values by key, and refuses keys that it does not know.

use super::{
    document::{Kind, Table, Value},
    forms::Refusal,
    key::{Key, names},
    keys,
    nearest::nearest,
    problem::{Place, Problems},
};

/// A table under its title, such as `[handlers.basket]`.
pub(super) struct Section<'d> {
    title: String,
    place: Place,
    table: Option<&'d Table>,
}

/// Which keys a section knows.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    /// Names that the manifest's author chooses.
    Any,
    /// These.
    Only(&'static [Key]),
}

impl<'d> Section<'d> {
    /// A section that knows these keys; the others become problems.
    pub(super) fn new(
        title: String,
        table: &'d Table,
        place: Place,
        known: Keys,
        problems: &mut Problems,
    ) -> Section<'d> {
        if let Keys::Only(known) = known {
            let is_known = |key: &str| names(known).any(|known| known == key);
            for member in table.members.iter().filter(|member| !is_known(&member.key)) {
                problems.error(&member.key_place, unknown(&member.key, &title, known));
            }
        }
        Section { title, place, table: Some(table) }
    }

    /// The section of this name within this one; an empty one where there is none.
    pub(super) fn section(&self, key: &str, known: Keys, problems: &mut Problems) -> Section<'d> {
        let title = match self.title.trim_matches(['[', ']']) {
            "" => format!("[{key}]"),
            outer => format!("[{outer}.{key}]"),
        };
        let missing = |title| Section { title, place: self.place.clone(), table: None };
        let Some(member) = self.table.and_then(|table| table.get(key)) else {
            return missing(title);
        };
        match &member.value.kind {
            Kind::Table(table) => Section::new(title, table, member.key_place.clone(), known, problems),
            other => {
                let text = format!("`{key}` is {}: write a table `{title}` instead", other.name());
                problems.error(&member.value.place, text);
                missing(title)
            }
        }
    }

    /// The value of a key, as `form` reads it; none where it is missing or refused.
    pub(super) fn read<T>(
        &self,
        key: &str,
        form: impl FnOnce(&Value) -> Result<T, Vec<Refusal>>,
        problems: &mut Problems,
    ) -> Option<T> {
        self.of(key, self.value(key)?, form, problems)
    }

    /// Like [`Section::read`], for a value that is a part of the key's.
    pub(super) fn of<T>(
        &self,
        key: &str,
        value: &Value,
        form: impl FnOnce(&Value) -> Result<T, Vec<Refusal>>,
        problems: &mut Problems,
    ) -> Option<T> {
        match form(value) {
            Ok(read) => Some(read),
            Err(refusals) => {
                for Refusal { place, why } in refusals {
                    problems.error(&place, format!("`{key}` in {} {why}", self.title));
                }
                None
            }
        }
    }

    /// Like [`Section::read`], for a key that must be there; `example` says what to write.
    pub(super) fn require<T>(
        &self,
        key: &str,
        example: &str,
        form: impl FnOnce(&Value) -> Result<T, Vec<Refusal>>,
        problems: &mut Problems,
    ) -> Option<T> {
        if self.value(key).is_none() {
            problems.error(&self.place, format!("{} has no `{key}`: add `{key} = {example}`", self.title));
        }
        self.read(key, form, problems)
    }

    /// The value of a key, unread.
    pub(super) fn value(&self, key: &str) -> Option<&'d Value> {
        self.table?.get(key).map(|member| &member.value)
    }

    /// The table behind it; none where the manifest does not have it.
    pub(super) fn table(&self) -> Option<&'d Table> {
        self.table
    }

    /// Where the section begins.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The title with its brackets.
    pub(super) fn title(&self) -> &str {
        &self.title
    }
}

fn unknown(key: &str, title: &str, known: &'static [Key]) -> String {
    let within = if title.is_empty() { String::new() } else { format!(" in {title}") };
    if keys::LATER.contains(&key) {
        return format!("`{key}`{within} is not supported yet by this version: remove it");
    }
    match nearest(key, names(known)) {
        Some(meant) => format!("unknown key `{key}`{within}: did you mean `{meant}`?"),
        None => {
            format!("unknown key `{key}`{within}: known are {}", listed(&names(known).collect::<Vec<_>>()))
        }
    }
}

/// Words in a sentence: `` `a`, `b` and `c` ``.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
