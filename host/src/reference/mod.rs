//! The pages of `docs/reference/`, made from what the program itself goes by: the command line, the keys of the
//! manifest, the contract. A test compares them with what lies in `docs/`, so that neither can drift.

mod cli;
mod manifest;
mod wit;

pub use cli::cli;
pub use manifest::manifest;
pub use wit::wit;

/// What stands first in each page.
fn begin(title: &str, from: &str) -> String {
    format!(
        "<!-- Made from {from}: change that, then run the test `reference`, which says how to make this anew. -->\n\n# {title}\n"
    )
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::{
        env, fs,
        path::{Path, PathBuf},
    };

    /// Set it to write the pages anew.
    const UPDATE: &str = "WAXWING_UPDATE_REFERENCE";

    /// The contract's files, the words of the others first.
    fn contract(root: &Path) -> Vec<String> {
        let files = fs::read_dir(root.join("wit")).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> = files.collect();
        files.sort_by_key(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let first = ["worlds", "types", "handler"].iter().position(|first| *first == name);
            (first.unwrap_or(usize::MAX), name)
        });
        files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    #[test]
    fn the_reference_says_what_the_source_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pages = [
            ("cli.md", super::cli()),
            ("manifest.md", super::manifest()),
            ("wit.md", super::wit(&contract(&root))),
        ];
        for (name, text) in pages {
            let path = root.join("docs/reference").join(name);
            if env::var_os(UPDATE).is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &text).unwrap();
            }
            let written = fs::read_to_string(&path).unwrap_or_default();
            let differs = written.lines().zip(text.lines()).position(|(written, made)| written != made);
            let line = differs.unwrap_or(written.lines().count().min(text.lines().count())) + 1;
            assert!(
                written == text,
                "docs/reference/{name} is not what the source says (line {line}): set {UPDATE}=1 and run this test again, \
                 then look at what has changed"
            );
        }
    }
}
