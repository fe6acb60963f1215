//! Commands within sentences: what they name is there.

use clap::Command;

use super::page;

/// What is between the backticks of a line.
pub(super) fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// What of a command does not exist; none where all does. Placeholders are no words of the program.
fn unknown(words: &str) -> Option<String> {
    let root = waxwing::cli::command();
    let mut command: &Command = &root;
    let mut globals: Vec<&Command> = vec![&root];
    for word in words.split_whitespace().skip(1) {
        let word = word.trim_matches(|c: char| "[]().,…".contains(c));
        if let Some(flag) = word.strip_prefix("--").map(|flag| flag.split('=').next().unwrap_or(flag)) {
            let has = |command: &Command| command.get_arguments().any(|a| a.get_long() == Some(flag));
            let is_general = ["help", "version", ""].contains(&flag);
            if !is_general && !globals.iter().any(|command| has(command)) {
                return Some(format!("`{}` has no --{flag}", command.get_name()));
            }
        } else if command.has_subcommands()
            && word.chars().all(|c| c.is_ascii_lowercase() || "-/".contains(c))
        {
            let names: Vec<&str> = word.split('/').collect();
            if let Some(name) = names.iter().find(|name| command.find_subcommand(name).is_none()) {
                return Some(format!("`{}` has no command `{name}`", command.get_name()));
            }
            command = command.find_subcommand(names[0])?;
            globals.push(command);
        }
    }
    None
}

#[test]
fn what_sentences_say_of_commands_is_there() {
    let mut wrong = Vec::new();
    for page in page::all() {
        for (line, text) in page.prose() {
            let commands = spans(text).filter(|span| span.starts_with("waxwing "));
            wrong.extend(commands.filter_map(unknown).map(|why| format!("{}:{line}: {why}", page.path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_there_is_named() {
    assert_eq!(unknown("waxwing state get account 42 --at TIME"), None);
    assert_eq!(unknown("waxwing dead ls/show"), None);
    assert_eq!(unknown("waxwing --server URL pause/resume HANDLER"), None);
    assert_eq!(unknown("waxwing lunch").unwrap(), "`waxwing` has no command `lunch`");
    assert_eq!(unknown("waxwing dead show --al").unwrap(), "`show` has no --al");
}
