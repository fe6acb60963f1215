//! Tests that pages name are there: `crash::a_paused_owner_that_wakes_up_cannot_write`.

use std::path::Path;

use super::{
    page::{self, root},
    synopsis::spans,
};

/// The sources of the system tests, each with the modules that it is in.
fn sources(folder: &Path, modules: &str, found: &mut Vec<(String, String)>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let within = if name == "mod" { modules.to_owned() } else { format!("{modules}{name}::") };
        if path.is_dir() {
            sources(&path, &within, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((within, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Whether a text is the name of a test, or of its beginning where it ends in `…`; none where it is none of ours.
fn is_there(name: &str, sources: &[(String, String)]) -> Option<bool> {
    let (modules, function) = name.rsplit_once("::")?;
    let modules = format!("{modules}::");
    let mut of_module = sources.iter().filter(|(within, _)| *within == modules).peekable();
    of_module.peek()?;
    Some(of_module.any(|(_, text)| match function.strip_suffix('…') {
        Some(start) => text.contains(&format!("fn {start}")),
        None => function.is_empty() || text.contains(&format!("fn {function}(")),
    }))
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut all = Vec::new();
    sources(&root().join("tests/system"), "", &mut all);
    let mut named = 0;
    for page in page::all() {
        for (line, text) in page.prose() {
            for name in spans(text) {
                let is_there = is_there(name, &all);
                assert_ne!(is_there, Some(false), "{}:{line}: there is no test `{name}`", page.path);
                named += usize::from(is_there.is_some());
            }
        }
    }
    assert!(named > 50, "the guarantees name their tests: {named}");
    assert_eq!(is_there("book::proofs::every_test_that_a_page_names_is_there", &all), Some(true));
    assert_eq!(is_there("book::proofs::every_test_that…", &all), Some(true));
    assert_eq!(is_there("book::proofs::no_such_test", &all), Some(false));
    assert_eq!(is_there("std::fs", &all), None);
}
