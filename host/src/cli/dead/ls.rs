//! `waxwing dead ls`: dead letters, in groups or one by one.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::entry::dead;
use waxwing_event::{HandlerName, Position, Subject, outcome::FailureKind};

use super::{letter::Shelf, selection::Filter};
use crate::cli::{
    General,
    listed::MAX_SEARCHED,
    output::{self, Output, say},
    place::Place,
};

/// Lists dead letters: by handler and reason, or one by one
///
/// Reasons that differ in numbers and names alone are one group. With a handler, a filter or --all the letters are
/// listed one by one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing dead ls\n  \
    waxwing dead ls catalog\n  \
    waxwing dead ls catalog --key tea --output json\n  \
    waxwing dead ls --kind deadline\n  \
    waxwing dead ls --archived")]
pub(super) struct Ls {
    /// Only those of this handler
    handler: Option<HandlerName>,
    #[command(flatten)]
    filter: Filter,
    /// Lists each letter
    #[arg(long)]
    all: bool,
    /// Lists those that were archived
    #[arg(long)]
    archived: bool,
    /// The most entries to list
    #[arg(long, value_name = "NUMBER", default_value_t = MAX_SEARCHED)]
    limit: usize,
}

/// Dead letters of one handler that failed alike.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Group {
    handler: HandlerName,
    kind: FailureKind,
    /// The latest's.
    reason: String,
    count: usize,
    first: Timestamp,
    last: Timestamp,
    /// The latest's.
    subject: Subject,
    /// The latest's.
    position: Position,
}

impl Ls {
    pub(super) async fn execute(&self, place: &Place, general: &General) -> Result<ExitCode> {
        let shelf = if self.archived { Shelf::Archive } else { Shelf::Open };
        let listed = shelf.list(place, self.handler.as_ref(), self.limit).await?;
        listed.say_what_is_missing();
        if listed.is_empty() {
            place.expect(self.handler.as_slice()).await?;
        }
        let letters: Vec<&dead::About> =
            listed.items.iter().map(|item| &item.what).filter(|about| self.filter.matches(about)).collect();
        let one_by_one = self.all || self.handler.is_some() || !self.filter.is_empty();
        match general.output {
            Output::Json if one_by_one => output::json(&letters)?,
            Output::Json => output::json(&groups(&letters))?,
            Output::Text if letters.is_empty() => say!("no dead letters")?,
            Output::Text if one_by_one => show_each(&letters)?,
            Output::Text => show_groups(&groups(&letters))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The letters in groups, by handler, the largest first.
fn groups(letters: &[&dead::About]) -> Vec<Group> {
    let mut groups: BTreeMap<(&HandlerName, &str, String), Group> = BTreeMap::new();
    for about in letters {
        let (handler, kind) = (&about.original.handler, about.kind);
        let group = groups.entry((handler, kind.as_str(), shape(&about.reason))).or_insert_with(|| Group {
            handler: handler.clone(),
            kind,
            reason: String::new(),
            count: 0,
            first: about.time,
            last: Timestamp::MIN,
            subject: about.original.subject.clone(),
            position: about.original.position,
        });
        group.count += 1;
        group.first = group.first.min(about.time);
        if about.time >= group.last {
            group.last = about.time;
            group.reason = first_line(about).to_owned();
            group.subject = about.original.subject.clone();
            group.position = about.original.position;
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|a, b| (&a.handler, b.count).cmp(&(&b.handler, a.count)));
    groups
}

/// A reason without what is one event's own: words with digits, and what stands in backquotes.
fn shape(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut shape = String::with_capacity(line.len());
    for (i, part) in line.split('`').enumerate() {
        if i % 2 == 1 {
            shape.push_str("`…`");
            continue;
        }
        for word in part.split_inclusive(|c| !is_word(c)) {
            let (end, _) = word.char_indices().find(|(_, c)| !is_word(*c)).unwrap_or((word.len(), ' '));
            let (word, rest) = word.split_at(end);
            shape.push_str(if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word });
            shape.push_str(rest);
        }
    }
    shape
}

fn first_line(about: &dead::About) -> &str {
    about.reason.lines().next().unwrap_or_default()
}

fn show_groups(groups: &[Group]) -> Result<()> {
    let mut table =
        output::table(&["handler", "kind", "reason", "letters", "first", "last", "such as", "position"]);
    for group in groups {
        table.add_row([
            group.handler.to_string(),
            group.kind.to_string(),
            output::line(&group.reason),
            group.count.to_string(),
            format!("{:.0}", group.first),
            format!("{:.0}", group.last),
            group.subject.to_string(),
            group.position.to_string(),
        ]);
    }
    say!("{table}")?;
    Ok(())
}

fn show_each(letters: &[&dead::About]) -> Result<()> {
    let mut table = output::table(&["handler", "position", "subject", "key", "kind", "reason", "time"]);
    for about in letters {
        table.add_row([
            about.original.handler.to_string(),
            about.original.position.to_string(),
            about.original.subject.to_string(),
            output::line(about.original.key.as_deref().unwrap_or_default()),
            about.kind.to_string(),
            output::line(first_line(about)),
            format!("{:.0}", about.time),
        ]);
    }
    say!("{table}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use waxwing_engine::entry::Original;
    use waxwing_event::{Digest, Failure, Headers};

    use super::*;

    fn about(handler: &str, position: u64, reason: &str) -> dead::About {
        let entry = waxwing_engine::port::log::Entry {
            position: Position(position),
            subject: Subject::from_checked("a.b"),
            headers: Headers::new(),
            payload: bytes::Bytes::new(),
            time: Timestamp::UNIX_EPOCH,
        };
        let original = Original::new(&handler.parse().unwrap(), &entry, None);
        let failure = Failure::new(FailureKind::Reject, reason);
        let time = Timestamp::from_second(i64::try_from(position).unwrap()).unwrap();
        dead::About::new(original, &failure, 1, Digest([1; 32]), time)
    }

    #[test]
    fn reasons_that_differ_in_numbers_and_names_alone_have_one_shape() {
        let same = [
            "price -1 of `tea` is not positive (src/lib.rs:40)",
            "price -2.5 of `a coffee` is not positive (src/lib.rs:41)",
        ];
        assert_eq!(shape(same[0]), "price # of `…` is not positive (src/lib.rs:#)");
        assert_eq!(shape(same[0]), shape(same[1]));
        assert_eq!(shape("order order-17\nmore"), "order #");
        assert_ne!(shape("the bank is closed"), shape("the shop is closed"));
        assert_eq!(shape("ü`…"), "ü`…`");
        assert_eq!(shape(""), "");
    }

    #[test]
    fn groups_by_handler_and_reason_with_the_latest_as_example() {
        let letters = [
            about("b", 1, "order 1 is late"),
            about("a", 2, "closed"),
            about("a", 9, "order 7 is late"),
            about("a", 5, "order 5 is late"),
        ];
        let groups = groups(&letters.iter().collect::<Vec<_>>());
        let short: Vec<_> =
            groups.iter().map(|g| (g.handler.as_str(), g.reason.as_str(), g.count, g.position.0)).collect();
        let expected =
            [("a", "order 7 is late", 2, 9), ("a", "closed", 1, 2), ("b", "order 1 is late", 1, 1)];
        assert_eq!(short, expected);
        assert_eq!((groups[0].first.as_second(), groups[0].last.as_second()), (5, 9));
    }
}
