//! Nothing is left out: the book says something of each command and of each key of the manifest.

use std::collections::BTreeSet;

use super::{
    command,
    page::{self, Page},
    synopsis::spans,
};

/// Whether somebody has written the page: the reference is made from the source, and so leaves nothing out.
fn is_told(page: &Page) -> bool {
    page.path.starts_with("docs/") && !page.path.starts_with("docs/reference/")
}

/// All that pages say in code: blocks, and what is between backticks.
fn code(pages: &[Page]) -> String {
    let blocks = pages.iter().flat_map(Page::blocks).map(|block| block.text.clone());
    let spans = pages
        .iter()
        .flat_map(Page::prose)
        .flat_map(|(_, line)| spans(line).map(str::to_owned).collect::<Vec<_>>());
    blocks.chain(spans).flat_map(|text| [text, "\n".to_owned()]).collect()
}

/// Every command, such as `dead show`.
fn commands() -> Vec<String> {
    let root = waxwing::cli::command();
    let mut all = Vec::new();
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        match command.has_subcommands() {
            true => all.extend(
                command.get_subcommands().map(|sub| format!("{} {}", command.get_name(), sub.get_name())),
            ),
            false => all.push(command.get_name().to_owned()),
        }
    }
    all
}

#[test]
fn the_book_says_something_of_every_command() {
    let pages: Vec<Page> = page::all().into_iter().filter(is_told).collect();
    let code = code(&pages);
    let blocks = pages.iter().flat_map(Page::blocks).flat_map(command_lines);
    let lines: Vec<String> = blocks.chain(code.lines().map(str::to_owned)).collect();
    let is_said = |command: &String| {
        lines.iter().any(|line| {
            let line = line.trim_start_matches("waxwing ");
            line.strip_prefix(command.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '/']))
        })
    };
    let left_out: Vec<String> = commands().into_iter().filter(|command| !is_said(command)).collect();
    assert!(left_out.is_empty(), "no page says anything of: {}", left_out.join(", "));
}

fn command_lines(block: &super::block::Block) -> Vec<String> {
    if !["sh", "console"].contains(&block.language.as_str()) {
        return Vec::new();
    }
    let simple = command::of(block).into_iter().flat_map(|command| command::simple(&command.text));
    simple.map(|words| words.join(" ")).collect()
}

/// The keys that the parser knows, from its own table.
fn keys() -> BTreeSet<String> {
    let table = std::fs::read_to_string(page::root().join("host/src/config/keys.rs")).unwrap();
    let table = table.split("const LATER").next().unwrap();
    let code: String = table.lines().filter(|line| !line.trim().starts_with("///")).collect();
    let quoted = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    match code.contains("Key::new(") {
        true => code.split("Key::new(").skip(1).flat_map(|key| quoted(key).into_iter().next()).collect(),
        false => quoted(&code).into_iter().collect(),
    }
}

#[test]
fn the_book_says_something_of_every_key_of_the_manifest() {
    let pages: Vec<Page> = page::all().into_iter().filter(is_told).collect();
    let code = code(&pages);
    let words: BTreeSet<&str> =
        code.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).filter(|word| !word.is_empty()).collect();
    let keys = keys();
    assert!(keys.len() > 40 && keys.contains("require-signature"), "{keys:?}");
    let left_out: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(left_out.is_empty(), "no page says anything of: {left_out:?}");
}
