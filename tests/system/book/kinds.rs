//! Each block is of a kind that these tests know.

use super::{block::Block, page};

/// Kinds of blocks, and the attributes that each may have besides `file=`.
const KINDS: [(&str, &[&str]); 9] = [
    ("rust", &["compile_fail", "should_panic", "no_run"]),
    ("toml", &[]),
    ("console", &["fails"]),
    ("sh", &[]),
    ("json", &[]),
    ("python", &[]),
    ("javascript", &[]),
    // Only in the reference, which is made from the source.
    ("wit", &[]),
    ("text", &[]),
];

/// Blocks of `text` that are no drawings, by their page and how they begin.
const TEXTS: [(&str, &str); 7] = [
    // The bytes of a signature, which the tests of signatures make in the same way.
    ("docs/deploy.md", "waxwing version signature 1"),
    // A quarter of an hour on a screen; the tests of `dev` know each kind of line.
    ("docs/dev.md", "The log is on the NATS server"),
    // A panic's backtrace: `hostile` and the tests of `failures` have such.
    ("docs/guests.md", "trap: panicked at"),
    // Ids and times are those of one run: `story` knows the lines.
    ("docs/story.md", "order.place #32"),
    // What scenarios and captures of crates tell: `scenario_files` and `captures` have such.
    ("docs/testing.md", "✗ basket/scenarios/prices.toml"),
    ("docs/testing.md", "✗ scenarios/counts.toml"),
    ("docs/testing.md", "basket 1207 price-4"),
];

/// What drawings are made of.
const STROKES: &str = "─│▶▼▲◀├└┌";

/// What is wrong with a block's kind; none where nothing is.
fn wrong(block: &Block) -> Option<String> {
    let Some((_, known)) = KINDS.iter().find(|(language, _)| *language == block.language) else {
        let known: Vec<&str> = KINDS.iter().map(|(language, _)| *language).collect();
        return Some(format!("`{}` is no kind of block: use one of {}", block.language, known.join(", ")));
    };
    let is_known = |attribute: &str| {
        known.contains(&attribute) || ["file=", "from="].iter().any(|name| attribute.starts_with(name))
    };
    if let Some(unknown) = block.attributes.iter().find(|attribute| !is_known(attribute)) {
        return Some(format!("blocks of {} have no attribute `{unknown}`", block.language));
    }
    let is_text = |(page, start): &(&str, &str)| block.page == *page && block.text.starts_with(start);
    let is_reference = block.page.starts_with("docs/reference/");
    if block.language == "wit" && !is_reference {
        return Some("the reference has the contract: name its part, and link there".to_owned());
    }
    if block.language == "text"
        && !is_reference
        && !block.text.contains(|c| STROKES.contains(c))
        && !TEXTS.iter().any(is_text)
    {
        return Some("this is no drawing: what a command prints goes into a block of `console`".to_owned());
    }
    None
}

#[test]
fn every_block_is_of_a_known_kind() {
    let pages = page::all();
    let wrong: Vec<String> = pages
        .iter()
        .flat_map(page::Page::blocks)
        .filter_map(|block| Some(format!("{block}: {}", wrong(block)?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (page, start) in TEXTS {
        let is_there = page::Page::read(page).blocks().any(|block| block.text.starts_with(start));
        assert!(is_there, "{page} has no block any more that begins with `{start}`: take it off the list");
    }
}

#[test]
fn no_block_is_only_indented() {
    for page in page::all() {
        let prose = page.prose();
        for pair in prose.windows(2) {
            let [(_, before), (line, text)] = pair else { continue };
            let is_code =
                before.is_empty() && text.starts_with("    ") && !text.trim_start().starts_with(['-', '|']);
            assert!(!is_code, "{}:{line}: put this into a block with its language", page.path);
        }
    }
}

#[test]
fn what_is_of_no_known_kind_is_named() {
    let block = |start: &str| {
        let parts = super::block::parts("p.md", &format!("```{start}\nx\n```\n"));
        let [super::block::Part::Block(block)] = parts.as_slice() else { panic!() };
        wrong(block)
    };
    for wrong in ["", "yml", "rust,ignore", "text", "sh,fails"] {
        assert!(block(wrong).is_some(), "{wrong}");
    }
    for right in ["rust", "rust,compile_fail", "toml,file=waxwing.toml"] {
        assert_eq!(block(right), None);
    }
}
