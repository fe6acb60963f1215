//! What [`keys`] says of each key is what the reader does: its bounds, its words, its default.

use toml_edit::{DocumentMut, Item, table};

use super::{
    app::AppConfig,
    key::{Form, Key, Usual},
    keys, parse, show_bytes, show_duration,
};
use crate::module::ModuleSource;

/// A manifest in which each key may be set without others standing in its way.
const BASE: &str = r#"
[app]
name = "a"
events = ["a.>"]

[host]

[handlers.h]
on = ["a.b"]
key = "data.id"
retry = { attempts = 1000, immediate = 1 }
"#;

/// The base with one key set, or without it.
fn with(path: &[&str], value: Option<&str>) -> String {
    let mut manifest: DocumentMut = BASE.parse().unwrap();
    let (key, tables) = path.split_last().unwrap();
    let mut at = manifest.as_table_mut() as &mut dyn toml_edit::TableLike;
    for name in tables {
        at = at.entry(name).or_insert_with(table).as_table_like_mut().unwrap();
    }
    match value {
        Some(value) => {
            let value: DocumentMut = format!("value = {value}").parse().unwrap();
            at.insert(key, Item::Value(value["value"].as_value().unwrap().clone()));
        }
        None => drop(at.remove(key)),
    }
    manifest.to_string()
}

fn read(text: &str) -> Result<AppConfig, String> {
    let found = |name: &str| Ok(ModuleSource::Crate(name.into()));
    let (mut config, _) =
        parse("waxwing.toml", text, [], found).map_err(|problems| problems.error_lines().join("\n"))?;
    // As it was written; everything else is what was read.
    config.handlers.iter_mut().for_each(|handler| handler.table = serde_json::Value::Null);
    Ok(config)
}

/// Calls `look` with each key that has a value, and the path to it.
fn each(path: &[&'static str], keys: &'static [Key], look: &mut dyn FnMut(&[&'static str], &'static Key)) {
    for key in keys {
        let path: Vec<&'static str> = path.iter().copied().chain([key.name]).collect();
        match &key.form {
            Form::Table(inner) => each(&path, inner, look),
            Form::Named("NAME", inner) => each(&[&path[..], &["h"]].concat(), inner, look),
            _ => look(&path, key),
        }
    }
}

/// Values at and just beyond the bounds of a form.
fn bounds(form: &Form) -> Option<(Vec<String>, Vec<String>)> {
    let text = |value: String| format!("\"{value}\"");
    Some(match form {
        Form::Count(least, most) => {
            let below = least.checked_sub(1).map(|below| below.to_string());
            (
                vec![least.to_string(), most.to_string()],
                below.into_iter().chain([(most + 1).to_string()]).collect(),
            )
        }
        Form::Size(least, most) => {
            let below = least.checked_sub(1).map(|below| text(show_bytes(below)));
            let good = vec![text(show_bytes(*least)), text(show_bytes(*most))];
            (good, below.into_iter().chain([text(show_bytes(most + 1))]).collect())
        }
        Form::Duration(least, most) | Form::Seconds(least, most) => {
            let step = std::time::Duration::from_millis(1);
            let below = least.checked_sub(step).map(|below| text(show_duration(below)));
            let good = vec![text(show_duration(*least)), text(show_duration(*most))];
            (good, below.into_iter().chain([text(show_duration(*most + step))]).collect())
        }
        Form::Delays(least, most) => {
            let (least, most) = (show_duration(*least), show_duration(*most));
            (
                vec![text(format!("{least}..{most}"))],
                vec![text(format!("0s..{most}")), text(format!("{least}..10000d"))],
            )
        }
        Form::Choice(words) => {
            (words.iter().map(|word| text((*word).to_owned())).collect(), vec![text("another".to_owned())])
        }
        Form::Flag => (vec!["true".to_owned(), "false".to_owned()], vec![text("true".to_owned())]),
        _ => return None,
    })
}

#[test]
fn the_reader_takes_what_keys_say_that_it_takes_and_nothing_beyond() {
    let mut looked = 0;
    each(&[], keys::TOP, &mut |path, key| {
        let Some((good, bad)) = bounds(&key.form) else { return };
        looked += 1;
        for value in good {
            let read = read(&with(path, Some(&value)));
            assert!(read.is_ok(), "{path:?} = {value}: {}", read.unwrap_err());
        }
        for value in bad {
            let refused = read(&with(path, Some(&value))).expect_err(&format!("{path:?} = {value}"));
            assert!(refused.contains(&format!("`{}` in", key.name)), "{refused}");
        }
    });
    assert!(looked > 30);
}

#[test]
fn without_a_key_its_default_holds() {
    each(&[], keys::TOP, &mut |path, key| {
        let without = with(path, None);
        match key.usual {
            Usual::Is(value) => {
                let written = read(&with(path, Some(value))).unwrap();
                assert_eq!(read(&without).unwrap(), written, "{path:?} = {value}");
            }
            Usual::Required => assert!(read(&without).unwrap_err().contains(key.name), "{path:?}"),
            Usual::Means(_) => {}
        }
    });
}

#[test]
fn each_key_is_told_of_in_one_sentence() {
    fn look(keys: &[Key]) {
        for key in keys {
            assert!(
                key.about.ends_with('.') && !key.about.trim_end_matches('.').contains(". "),
                "{}",
                key.name
            );
            match &key.form {
                Form::Table(inner) | Form::Tables(inner) | Form::Named(_, inner) => look(inner),
                _ => {}
            }
        }
    }
    look(keys::TOP);
}
