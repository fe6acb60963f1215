//! The app's manifest with one handler more: everything else in it stays as its author has written it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use toml_edit::{Array, DocumentMut, Item, TableLike, Value, value};
use waxwing_event::Pattern;

use super::list::append;
use crate::{config, module::ModuleSource};

/// A manifest that can be changed.
pub(super) struct Manifest {
    /// As errors name it.
    file: String,
    document: DocumentMut,
}

impl Manifest {
    /// Reads the text of a manifest.
    pub(super) fn read(file: &Path, text: &str) -> Result<Manifest> {
        let file = file.display().to_string();
        let document = text.parse().with_context(|| format!("{file} is not TOML: correct it first"))?;
        Ok(Manifest { file, document })
    }

    /// The app's name.
    pub(super) fn app(&self) -> Result<&str> {
        let name = self.document.get("app").and_then(|app| app.get("name")).and_then(Item::as_str);
        name.with_context(|| format!("{} has no `name` in [app]: add it first", self.file))
    }

    /// The handlers' names, each with the module that the manifest names for it.
    pub(super) fn handlers(&self) -> Vec<(&str, Option<&str>)> {
        let handlers = self.document.get("handlers").and_then(Item::as_table_like);
        let named = handlers.into_iter().flat_map(|handlers| handlers.iter());
        named.map(|(name, handler)| (name, handler.get("module").and_then(Item::as_str))).collect()
    }

    /// The text with a handler's section, and with the subjects that it needs among the log's.
    pub(super) fn with(mut self, name: &str, section: &str, needed: &[String]) -> Result<String> {
        let app = self.document.get_mut("app").and_then(Item::as_table_like_mut);
        keep(app.with_context(|| format!("{} has no [app]: add it first", self.file))?, needed)?;
        let mut text = self.document.to_string();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
        text.push_str(section);
        check(&self.file, name, &text)?;
        Ok(text)
    }
}

/// Adds to the log's subjects those that it does not keep.
fn keep(app: &mut dyn TableLike, needed: &[String]) -> Result<()> {
    let events = app.entry("events").or_insert_with(|| value(Array::new()));
    // A lone text is a list of one.
    if let Some(lone) = events.as_str().map(str::to_owned) {
        *events = value([lone].into_iter().collect::<Array>());
    }
    let events = events.as_array_mut().context("`events` in [app] is no list: correct it first")?;
    for subject in needed {
        let pattern: Pattern = subject.parse()?;
        let covers = |kept: &Value| {
            kept.as_str()
                .and_then(|kept| kept.parse().ok())
                .is_some_and(|kept: Pattern| kept.covers(&pattern))
        };
        if !events.iter().any(covers) {
            append(events, subject);
        }
    }
    Ok(())
}

/// Makes sure that a manifest is in order before it is written.
pub(super) fn check(file: &str, name: &str, text: &str) -> Result<()> {
    let found = |module: &str| Ok(ModuleSource::Crate(module.into()));
    let Err(problems) = config::parse(file, text, [], found) else { return Ok(()) };
    let lines = problems.error_lines().join("\n  ");
    bail!(
        "with the handler `{name}` the manifest would not be in order, and nothing was written: choose another name, or \
         correct what is wrong without it\n  {lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, needed: &[&str]) -> Result<String> {
        let section = "[handlers.new]\non = [\"new.a\"]\n";
        let needed: Vec<String> = needed.iter().map(|subject| (*subject).to_owned()).collect();
        Manifest::read(Path::new("waxwing.toml"), text)?.with("new", section, &needed)
    }

    const WRITTEN: &str = "# mine\n[app]\nname   = 'a' # odd\nevents = [ \"old.>\" ] # kept\n\n[handlers.old]\non = \"old.a\"\n";

    #[test]
    fn leaves_alone_what_the_author_has_written() {
        let text = with(WRITTEN, &["new.>"]).unwrap();
        let expected = WRITTEN.replace("\"old.>\" ]", "\"old.>\", \"new.>\" ]");
        assert_eq!(text, expected + "\n[handlers.new]\non = [\"new.a\"]\n");
    }

    #[test]
    fn adds_no_subject_that_the_log_keeps() {
        let text = WRITTEN.replace("[ \"old.>\" ]", "[\"old.>\", \"new.*\"]");
        assert!(with(&text, &["new.a"]).unwrap().starts_with(&text));
        let lone = WRITTEN.replace("[ \"old.>\" ]", "\"old.>\"");
        assert!(with(&lone, &["new.>"]).unwrap().contains("events = [\"old.>\", \"new.>\"]"));
    }

    #[test]
    fn refuses_what_would_not_be_in_order() {
        let text = WRITTEN.replace("old.>\" ]", "old.>\", \"new.a.b\"]");
        let refused = with(&text, &["new.>"]).unwrap_err().to_string();
        assert!(refused.contains("`new.>` overlaps `new.a.b`"), "{refused}");
        assert!(with("[app\n", &[]).unwrap_err().to_string().starts_with("waxwing.toml is not TOML"));
        assert!(with("[app]\n", &[]).unwrap_err().to_string().contains("`name`"));
    }
}
