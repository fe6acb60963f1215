//! What stands in a page beside prose: fenced blocks, and comments that speak to these tests.

use std::fmt;

/// A fenced block.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    pub(super) page: String,
    /// That of its first fence.
    pub(super) line: usize,
    pub(super) language: String,
    /// Behind the language: `rust,compile_fail`.
    pub(super) attributes: Vec<String>,
    pub(super) text: String,
}

/// A comment that begins with a word that these tests know.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hidden {
    pub(super) line: usize,
    /// `rust` or `session`, and what stands behind it in its line.
    pub(super) word: String,
    pub(super) argument: String,
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Block(Block),
    Hidden(Hidden),
}

impl Part {
    /// Its first and its last line.
    pub(super) fn lines(&self) -> (usize, usize) {
        let (line, text) = match self {
            Part::Block(Block { line, text, .. }) | Part::Hidden(Hidden { line, text, .. }) => (line, text),
        };
        (*line, line + text.lines().count() + 1)
    }
}

impl Block {
    pub(super) fn is(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|found| found == attribute)
    }

    /// The value of an attribute such as `file=src/lib.rs`.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find_map(|attribute| attribute.strip_prefix(name)?.strip_prefix('='))
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.page, self.line)
    }
}

/// Words with which a comment speaks to these tests.
const WORDS: [&str; 2] = ["rust", "session"];

/// The parts of a page in their order.
pub(super) fn parts(page: &str, text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    while let Some((line, start)) = lines.next() {
        let rest = start.trim_start();
        if let Some(fence) = fence(rest) {
            let indent = start.len() - rest.len();
            let mut info = rest[fence.len()..].trim().split(',').map(|word| word.trim().to_owned());
            let language = info.next().unwrap();
            let body = take(&mut lines, |line| line.trim() == fence)
                .unwrap_or_else(|| panic!("{page}:{line}: the block has no end"));
            let body = body.iter().map(|line| line.get(indent..).unwrap_or_default());
            let text = joined(body);
            let page = page.to_owned();
            parts.push(Part::Block(Block { page, line, language, attributes: info.collect(), text }));
        } else if let Some(comment) = start.strip_prefix("<!-- ") {
            let (opening, is_open) =
                comment.split_once("-->").map_or((comment, true), |(head, _)| (head, false));
            let (word, argument) = opening.trim().split_once(' ').unwrap_or((opening.trim(), ""));
            let body = if is_open { take(&mut lines, |line| line == "-->") } else { Some(Vec::new()) };
            let body =
                body.unwrap_or_else(|| panic!("{page}:{line}: the comment has no end in a line of its own"));
            if WORDS.contains(&word) {
                let (word, argument) = (word.to_owned(), argument.to_owned());
                parts.push(Part::Hidden(Hidden { line, word, argument, text: joined(body.into_iter()) }));
            }
        }
    }
    parts
}

/// The fence with which a line begins.
fn fence(line: &str) -> Option<&str> {
    let length = ['`', '~'].map(|mark| line.len() - line.trim_start_matches(mark).len());
    let length = length.into_iter().find(|length| *length >= 3)?;
    line.get(..length)
}

fn take<'t>(
    lines: &mut impl Iterator<Item = (usize, &'t str)>,
    is_end: impl Fn(&str) -> bool,
) -> Option<Vec<&'t str>> {
    let mut taken = Vec::new();
    for (_, line) in lines {
        if is_end(line) {
            return Some(taken);
        }
        taken.push(line);
    }
    None
}

fn joined<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn blocks_and_comments_are_found_with_their_lines() {
    let text = "a\n```rust,no_run\nlet a;\n```\n<!-- session empty\nls\n-->\n- b\n\n  ```sh\n  ls\n\n  ```\n<!-- so -->\n";
    let parts = parts("p.md", text);
    let [Part::Block(first), Part::Hidden(hidden), Part::Block(second)] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    assert_eq!((first.line, first.text.as_str(), first.is("no_run")), (2, "let a;\n", true));
    assert_eq!((hidden.line, hidden.argument.as_str(), hidden.text.as_str()), (5, "empty", "ls\n"));
    assert_eq!((second.to_string().as_str(), second.text.as_str()), ("p.md:10", "ls\n\n"));
    assert_eq!(parts[2].lines(), (10, 13));
}
