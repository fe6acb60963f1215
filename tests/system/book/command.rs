//! Commands in blocks: which they are, and whether `waxwing` would take them.

use super::block::Block;

/// A command as it stands in a block, and what stands below it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) line: usize,
    /// As the shell takes it.
    pub(super) text: String,
    /// What it prints; none where the block does not say.
    pub(super) expected: Option<String>,
}

/// The commands of a block of `sh` or `console`.
pub(super) fn of(block: &Block) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut goes_on = false;
    for (i, line) in block.text.lines().enumerate() {
        let is_console = block.language == "console";
        let start = if is_console { line.strip_prefix("$ ") } else { Some(line.trim()) };
        match (start, commands.last_mut()) {
            (_, Some(last)) if goes_on => {
                last.text.push('\n');
                last.text.push_str(line.strip_prefix("> ").filter(|_| is_console).unwrap_or(line));
            }
            (Some(text), _) if text.is_empty() || text.starts_with('#') => {}
            (Some(text), _) => {
                let expected = is_console.then(String::new);
                commands.push(Command { line: block.line + 1 + i, text: text.to_owned(), expected });
            }
            (None, Some(Command { expected: Some(expected), .. })) => {
                expected.push_str(line);
                expected.push('\n');
            }
            (None, _) => panic!("{block}: a block of console begins with `$ ` and a command"),
        }
        goes_on = commands.last().is_some_and(|last| last.text.ends_with('\\'));
    }
    commands
}

/// The simple commands of a line: words, without variables before them, and without where they read and write.
pub(super) fn simple(text: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for word in words(text) {
        match word {
            Word::End => all.push(Vec::new()),
            Word::Text(word) => all.last_mut().unwrap().push(word),
        }
    }
    for words in &mut all {
        let is_variable = |word: &String| {
            word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            })
        };
        while words.first().is_some_and(is_variable) {
            words.remove(0);
        }
        while let Some(at) = words.iter().position(|word| ["<", ">", ">>", "2>"].contains(&word.as_str())) {
            words.drain(at..(at + 2).min(words.len()));
        }
    }
    all.retain(|words| !words.is_empty());
    all
}

enum Word {
    Text(String),
    /// A command ends here.
    End,
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|inner| *inner != c));
            }
            '\\' if chars.peek() == Some(&'\n') => drop(chars.next()),
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            ' ' | '\n' | '|' | '&' | ';' => {
                words.extend(word.take().map(Word::Text));
                if c != ' ' {
                    words.push(Word::End);
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word.take().map(Word::Text));
    words
}

/// Whether `waxwing` takes these words; else what it says.
pub(super) fn parse(words: &[String]) -> Result<(), String> {
    match waxwing::cli::command().try_get_matches_from(words) {
        Ok(_) => Ok(()),
        Err(error) if !error.use_stderr() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_line_is_split_as_a_shell_does() {
    let text =
        "NATS_USER=a waxwing emit a.b '{\"a\": 1}' -H x:y > out 2> err | jq . && ls \\\n  -l # list; all";
    let expected: [&[&str]; 3] =
        [&["waxwing", "emit", "a.b", "{\"a\": 1}", "-H", "x:y"], &["jq", "."], &["ls", "-l"]];
    assert_eq!(simple(text), expected);
}

#[test]
fn a_command_has_what_stands_below_it() {
    let parts = super::block::parts("p.md", "```console\n$ ls \\\n>   -l\na\n\nb\n$ pwd\n```\n");
    let [super::block::Part::Block(block)] = parts.as_slice() else { panic!() };
    let expected = |text: &str| Some(text.to_owned());
    let [first, second] = &of(block)[..] else { panic!() };
    assert_eq!((first.text.as_str(), &first.expected), ("ls \\\n  -l", &expected("a\n\nb\n")));
    assert_eq!((second.line, second.text.as_str(), &second.expected), (7, "pwd", &expected("")));
}
