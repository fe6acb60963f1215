//! `docs/reference/manifest.md`, from the keys that the strict reader knows.

use std::{
    fmt::{Display, Write},
    time::Duration,
};

use super::{begin, cell};
use crate::config::{
    key::{Form, Key, Usual},
    keys, show_bytes, show_duration,
};

const BEFORE: &str = "
`waxwing.toml` describes an app: its log, its handlers, how its hosts behave. A key that is not here is refused, with its line and what
was probably meant. Values are checked together before anything runs; `waxwing check` does that alone.

A duration is a whole number and `ms`, `s`, `m`, `h` or `d`, a size one and `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`, both in
quotation marks. Where a list is asked for, a lone value is a list of one.

Variables go before the file: the words of a key's path in capitals, with `_` between them and for `-`, such as
`WAXWING_APP_RETENTION=7d`, `WAXWING_HOST_LABELS=eu,gpu` or `WAXWING_HANDLERS_BASKET_LIMITS_EFFECTS=10`. Their value is TOML where it begins
with `[` or `{`. A table as a whole is set in this way, too, but for `limits`, `grants`, `http` and `outbox`, of which each key is.
";

/// The page.
pub fn manifest() -> String {
    let mut page = begin("Manifest", "host/src/config/keys.rs");
    page.push_str(BEFORE);
    tables(&mut page, "", keys::TOP);
    page
}

/// The tables below one, each under its title.
fn tables(page: &mut String, outer: &str, keys: &[Key]) {
    for key in keys {
        let (title, inner) = match &key.form {
            Form::Table(inner) => (format!("`[{outer}{}]`", key.name), *inner),
            Form::Named(name, inner) => (format!("`[{outer}{}.{name}]`", key.name), *inner),
            Form::Tables(inner) => (format!("`{}` in `[{}]`", key.name, outer.trim_end_matches('.')), *inner),
            _ => continue,
        };
        write(page, format_args!("\n## {title}\n\n{}\n\n", key.about));
        table(page, inner);
        let path = title.trim_matches(['[', ']', '`']);
        tables(page, &format!("{path}."), inner);
    }
}

fn table(page: &mut String, keys: &[Key]) {
    page.push_str("| key | value | limits | default | meaning |\n| --- | --- | --- | --- | --- |\n");
    for key in keys {
        let (kind, limits) = form(&key.form);
        let usual = match key.usual {
            Usual::Required => "must be there".to_owned(),
            Usual::Is(value) => format!("`{value}`"),
            Usual::Means(words) => words.to_owned(),
        };
        let about = cell(key.about);
        write(
            page,
            format_args!("| `{}` | {kind} | {} | {} | {about} |\n", key.name, cell(&limits), cell(&usual)),
        );
    }
}

/// What a value is, and what bounds it.
fn form(form: &Form) -> (&'static str, String) {
    let times = |least: &Duration, most: &Duration| between(show_duration(*least), show_duration(*most));
    match form {
        Form::Text(which) => ("text", (*which).to_owned()),
        Form::List(which) => ("list of texts", (*which).to_owned()),
        Form::Flag => ("boolean", "`true` or `false`".to_owned()),
        Form::Count(least, most) => ("whole number", between(least, most)),
        Form::Duration(least, most) => ("duration", times(least, most)),
        Form::Seconds(least, most) => ("duration", format!("whole seconds, {}", times(least, most))),
        Form::Delays(least, most) => {
            ("two durations", format!("`\"first..longest\"`, each {}", times(least, most)))
        }
        Form::Size(least, most) => ("size", between(show_bytes(*least), show_bytes(*most))),
        Form::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            ("text", words.join(" or "))
        }
        Form::Texts => ("table of texts", "names of yours".to_owned()),
        Form::Table(_) => ("table", "see below".to_owned()),
        Form::Tables(_) => ("list of tables", "see below".to_owned()),
        Form::Named(..) => ("tables", "names of yours, see below".to_owned()),
    }
}

fn between(least: impl Display, most: impl Display) -> String {
    format!("{least} to {most}")
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = page.write_fmt(text);
}
