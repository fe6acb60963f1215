//! How results are written: for people or for programs.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

use super::style::{DIM, END};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Output {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

/// Standard output takes nothing.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub(super) struct Unwritable(#[source] io::Error);

impl Unwritable {
    /// True where nobody reads any more, such as behind `head`.
    pub(super) fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a line to standard output, as `println!` does, but gives the error where it cannot.
macro_rules! say {
    ($($line:tt)*) => { $crate::cli::output::write_line(format_args!($($line)*)) };
}
pub(super) use say;

/// What [`say!`] does.
pub(super) fn write_line(line: fmt::Arguments<'_>) -> Result<(), Unwritable> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(Unwritable)
}

/// Writes one value as JSON, on lines of its own.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(write_bytes(&text)?)
}

/// Writes bytes as they are.
pub(super) fn write_bytes(bytes: &[u8]) -> Result<(), Unwritable> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Unwritable)
}

/// True where a person sees it.
pub(super) fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// An empty table with these headings.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(|heading| heading.to_string()).collect::<Vec<_>>());
    table
}

/// One named value, on a line of its own.
pub(super) fn field(name: &str, value: &str) -> Result<()> {
    say!("{DIM}{name:<10}{END} {value}")?;
    Ok(())
}

/// Data as JSON shows it: itself where it is JSON, a text where it is UTF-8, else base64 under a name that
/// says so.
pub(super) fn data(bytes: &[u8]) -> serde_json::Value {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            serde_json::json!({ "base64": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes) })
        }
    }
}

/// A text of somebody else's, on one line: control characters are shown, and do nothing to the terminal.
pub(super) fn line(text: &str) -> String {
    shown(text, |_| false)
}

/// As [`line`], with its line breaks and tabs.
pub(super) fn lines(text: &str) -> String {
    shown(text, |c| matches!(c, '\n' | '\t'))
}

fn shown(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !keep(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_nothing_to_the_terminal() {
        let text = "ü\r\n\t\u{1b}[2J\0";
        assert_eq!(line(text), r"ü\r\n\t\u{1b}[2J\u{0}");
        assert_eq!(lines(text), "ü\\r\n\t\\u{1b}[2J\\u{0}");
    }

    #[test]
    fn groups_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
