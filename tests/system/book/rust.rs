//! Blocks of Rust: doc tests of a crate that is made of them, all built by one call of cargo.

use std::{fmt::Write, fs, process::Command};

use super::{
    block::{Block, Part},
    page::{self, Page, root},
};
use crate::once::target_folder;

/// The crate: what handlers may use, and a profile that costs little.
const MANIFEST: &str = r#"
[package]
name = "waxwing-book"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[lib]
test = false

[dependencies]
waxwing-sdk = { path = "ROOT/guest-sdk" }
serde = { version = "1", features = ["derive"] }
serde_json = { version = "1", features = ["raw_value"] }
wit-bindgen = { version = "0.61", default-features = false, features = ["macros", "realloc"] }
rust_decimal = { version = "1.43", default-features = false, features = ["std", "serde-float"] }
"#;

/// Where in hidden code the block stands; without it, behind.
const PLACE: &str = "// the block\n";

const PRELUDE: &str = "use waxwing_sdk::prelude::*;";

/// The block as a doc test, on a module that is named by its page and line.
fn doc_test(block: &Block, hidden: &str) -> String {
    let mut test = String::new();
    let attributes: Vec<&str> =
        block.attributes.iter().map(String::as_str).filter(|attribute| !attribute.contains('=')).collect();
    writeln!(test, "/// ```{}", attributes.join(",")).unwrap();
    let visible = with_tests_called(&block.text);
    if !block.text.contains(PRELUDE) && !hidden.contains(PRELUDE) {
        writeln!(test, "/// #[allow(unused_imports)] {PRELUDE}").unwrap();
    }
    let code = match hidden.split_once(PLACE) {
        Some((before, after)) => [before, &visible, after].concat(),
        None => [hidden, &visible].concat(),
    };
    for line in code.lines() {
        writeln!(test, "/// {line}").unwrap();
    }
    let name = block.page.replace(['/', '.', '-'], "_").to_lowercase();
    writeln!(test, "/// ```\npub mod {name}_line_{} {{}}\n", block.line).unwrap();
    test
}

/// Tests within a block are called by the doc test, which has none of its own.
fn with_tests_called(text: &str) -> String {
    if !text.contains("#[cfg(test)]") {
        return text.to_owned();
    }
    let mut called = String::new();
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        let word = line.trim();
        match word.strip_prefix("fn ").and_then(|rest| rest.split('(').next()).filter(|_| is_test) {
            Some(name) => {
                names.push(name);
                writeln!(called, "pub(super) {word}").unwrap();
            }
            None if word == "#[cfg(test)]" || word == "#[test]" => {}
            None => writeln!(called, "{line}").unwrap(),
        }
        is_test = word == "#[test]";
    }
    let calls: String = names.iter().map(|name| format!("tests::{name}();")).collect();
    called + &format!("fn main() {{ {calls} }}\n")
}

/// The blocks of Rust of a page, each with the hidden code before it.
fn blocks(page: &Page) -> Vec<(&Block, &str)> {
    let mut hidden = "";
    let mut blocks = Vec::new();
    for part in &page.parts {
        match part {
            Part::Hidden(comment) if comment.word == "rust" => hidden = &comment.text,
            Part::Block(block) if block.language == "rust" => {
                blocks.push((block, std::mem::take(&mut hidden)));
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn every_block_of_rust_compiles_and_runs() {
    let pages = page::all();
    let tests = pages.iter().flat_map(blocks).filter(|(block, _)| block.value("from").is_none());
    let tests: Vec<String> = tests.map(|(block, hidden)| doc_test(block, hidden)).collect();
    let folder = target_folder().join("book/rust");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), MANIFEST.replace("ROOT", root().to_str().unwrap())).unwrap();
    // The versions of the workspace; what is not needed here goes.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    fs::write(folder.join("src/lib.rs"), tests.concat()).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--doc", "--quiet", "--target-dir"]).arg(target_folder()).current_dir(&folder);
    let output = cargo.env("RUST_TEST_THREADS", "2").output().unwrap();
    let [said, error] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "blocks of the book, named by their page and line:\n{said}\n{error}");
    assert!(said.contains("passed") && tests.len() > 10, "{said}");
}

#[test]
fn what_is_from_a_file_stands_there() {
    for page in page::all() {
        for block in page.blocks() {
            let Some(path) = block.value("from") else { continue };
            let file = fs::read_to_string(root().join(path))
                .unwrap_or_else(|error| panic!("{block}: {path}: {error}"));
            let flat = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
            assert!(flat(&file).contains(flat(&block.text).trim()), "{block}: {path} has other lines");
        }
    }
}

#[test]
fn the_tests_of_a_block_are_called() {
    let text =
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn a() {\n        super::f();\n    }\n}\n";
    let called = with_tests_called(text);
    assert!(
        called.ends_with("pub(super) fn a() {\n        super::f();\n    }\n}\nfn main() { tests::a(); }\n"),
        "{called}"
    );
    assert_eq!(with_tests_called("let a;\n"), "let a;\n");
}
