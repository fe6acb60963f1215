//! Links lead somewhere: within a page, to other pages and their headings, to files of the repository.

use std::collections::BTreeSet;

use super::page::{self, Page, root};

/// A link in a page: its line, and where it leads.
fn links(page: &Page) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, text) in page.prose() {
        // What stands in backticks is no link.
        let visible: String = text.split('`').step_by(2).collect::<Vec<_>>().join("x");
        for part in visible.split("](").skip(1) {
            links.extend(part.split(')').next().map(|target| (line, target.to_owned())));
        }
    }
    links
}

/// The anchors of a page: of each heading as mdBook and others make them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = page.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What is wrong with a link; none where it leads somewhere.
fn broken(page: &Page, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let here = root().join(&page.path);
    let there = if path.is_empty() { here } else { here.parent().unwrap().join(path) };
    let Ok(file) = there.canonicalize() else {
        return Some("there is no such file".to_owned());
    };
    let Ok(file) = file.strip_prefix(root()).map(|file| file.to_str().unwrap().to_owned()) else {
        return Some("it leads out of the repository".to_owned());
    };
    let is_page = file.ends_with(".md");
    if page.path.starts_with("docs/") && is_page && !file.starts_with("docs/") {
        return Some(
            "the book has no such page, and makes its name end in .html: say it in the book".to_owned(),
        );
    }
    if !anchor.is_empty() && (!is_page || !anchors(&Page::read(&file)).contains(anchor)) {
        return Some(format!("{file} has no heading `#{anchor}`"));
    }
    None
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut pages = page::all();
    pages.extend(["docs/SUMMARY.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(Page::read));
    for page in pages {
        for (line, target) in links(&page) {
            wrong.extend(broken(&page, &target).map(|why| format!("{}:{line}: {target}: {why}", page.path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What programs and their sources say of pages: `docs/failures.md`, also with a heading.
#[test]
fn pages_that_the_sources_name_are_there() {
    let mut named = 0;
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "book", "docs"].contains(&name) {
                    folders.push(path);
                }
            } else if ["rs", "toml", "conf", "service", "yaml", "wit"]
                .iter()
                .any(|e| name.ends_with(&format!(".{e}")))
            {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                for part in text.split("docs/").skip(1) {
                    let Some((page, rest)) = part.split_once(".md") else { continue };
                    if !page.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '/') {
                        continue;
                    }
                    let page = format!("docs/{page}.md");
                    assert!(root().join(&page).is_file(), "{}: {page} is not there", path.display());
                    let anchor = rest.strip_prefix('#').map(|rest| {
                        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect::<String>()
                    });
                    let is_there = anchor.is_none_or(|anchor| anchors(&Page::read(&page)).contains(&anchor));
                    assert!(is_there, "{}: {page} has no such heading", path.display());
                    named += 1;
                }
            }
        }
    }
    assert!(named > 3, "pages are named somewhere: {named}");
}

#[test]
fn links_that_lead_nowhere_are_named() {
    let page = Page::read("docs/failures.md");
    assert_eq!(broken(&page, "deploy.md#canary"), None);
    assert_eq!(broken(&page, "../handlers"), None);
    assert_eq!(broken(&page, "#dead-letters"), None);
    for target in ["nowhere.md", "deploy.md#nothing", "#nothing", "../README.md", "../../..", "../wit#x"] {
        assert!(broken(&page, target).is_some(), "{target}");
    }
}
