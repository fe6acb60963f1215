//! The pages: every Markdown file of `docs/`, and the README.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::block::{self, Block, Part};

/// The repository.
pub(super) fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

/// A page and its parts.
pub(super) struct Page {
    /// From the repository's root, such as `docs/state.md`.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
}

impl Page {
    /// The page at this path from the repository's root.
    pub(super) fn read(path: &str) -> Page {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let parts = block::parts(path, &text);
        Page { path: path.to_owned(), text, parts }
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.parts.iter().filter_map(|part| match part {
            Part::Block(block) => Some(block),
            Part::Hidden(_) => None,
        })
    }

    /// The text without blocks and comments, each line with its number.
    pub(super) fn prose(&self) -> Vec<(usize, &str)> {
        let mut hidden = vec![false; self.text.lines().count() + 2];
        for part in &self.parts {
            let (first, last) = part.lines();
            hidden.iter_mut().take(last + 1).skip(first).for_each(|line| *line = true);
        }
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(i, _)| !hidden[*i]).collect()
    }
}

/// All pages: the README first, then the book's in the order of their paths.
pub(super) fn all() -> Vec<Page> {
    let mut paths = vec!["README.md".to_owned()];
    paths.extend(of_book());
    paths.iter().map(|path| Page::read(path)).collect()
}

/// The paths of the book's pages, the summary not among them.
pub(super) fn of_book() -> Vec<String> {
    let mut paths = Vec::new();
    walk(&root().join("docs"), &mut paths);
    let root = root();
    let named = |path: PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let mut paths: Vec<String> = paths.into_iter().map(named).collect();
    paths.retain(|path| path != "docs/SUMMARY.md");
    paths.sort();
    paths
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn pages_of_folders_are_found_too() {
    let folder = tempfile::TempDir::new().unwrap();
    fs::create_dir(folder.path().join("reference")).unwrap();
    for file in ["a.md", "b.txt", "reference/c.md"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    let mut found = Vec::new();
    walk(folder.path(), &mut found);
    assert_eq!(found.len(), 2, "{found:?}");
}
