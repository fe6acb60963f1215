//! `waxwing parked`: looks at events that wait.

use std::{collections::BTreeMap, process::ExitCode, slice};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use waxwing_engine::entry::{DeadLetter, ParkedEvent, dead, parked, tombstone};
use waxwing_event::{AppName, HandlerName, Position};

use super::{
    General,
    listed::{Listed, MAX_SEARCHED},
    original,
    output::{self, Output, say},
    place::Place,
    style::{BAD, END},
};

/// Looks at events that wait: for their next attempt, or behind another of their key
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing parked ls\n  \
    waxwing parked ls basket --output json\n  \
    waxwing parked show basket 17\n  \
    waxwing parked show basket order-4711")]
pub(super) struct Parked {
    /// The app [default: that of the manifest]
    #[arg(long, global = true, value_name = "NAME")]
    app: Option<AppName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists keys whose events wait, and single events without a key
    #[command(after_help = "Examples:\n  waxwing parked ls\n  waxwing parked ls basket")]
    Ls {
        /// Only those of this handler
        handler: Option<HandlerName>,
        /// The most entries to read
        #[arg(long, value_name = "NUMBER", default_value_t = MAX_SEARCHED)]
        limit: usize,
    },
    /// Shows one event that waits: its failures, headers and data
    #[command(
        after_help = "Examples:\n  waxwing parked show basket 17\n  waxwing parked show basket order-4711"
    )]
    Show {
        /// The handler
        handler: HandlerName,
        /// The event's position in the log, or its id
        #[arg(value_name = "POSITION|ID")]
        which: String,
    },
}

/// The events of a key that wait, or one without a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    handler: HandlerName,
    key: Option<String>,
    waiting: usize,
    /// The oldest.
    position: Position,
    /// How often that was tried.
    attempts: u32,
    /// When it runs; none where a dead letter holds the key.
    due: Option<Timestamp>,
    /// How it failed the last time.
    failure: Option<parked::Failed>,
    /// The dead letter that holds the key.
    held_by: Option<Position>,
}

impl Parked {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        match &self.command {
            Command::Ls { handler, limit } => {
                let queues = queues(&place, handler.as_ref(), *limit).await?;
                match general.output {
                    Output::Json => output::json(&queues)?,
                    Output::Text => list(&queues)?,
                }
            }
            Command::Show { handler, which } => {
                let parked = find(&place, handler, which).await?;
                match general.output {
                    Output::Json => output::json(&json!({
                        "about": &parked.about,
                        "data": output::data(&parked.payload),
                        "sizeBytes": parked.payload.len(),
                    }))?,
                    Output::Text => show(&parked)?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn queues(place: &Place, handler: Option<&HandlerName>, limit: usize) -> Result<Vec<Queue>> {
    let log = place.log.as_ref();
    let read = |entry| parked::About::read(&entry);
    let parked = Listed::read((log, &place.layout), &place.layout.all_parked(handler), limit, read).await?;
    parked.say_what_is_missing();
    if parked.is_empty() {
        place.expect(handler.map(slice::from_ref).unwrap_or_default()).await?;
    }
    let read = |entry| DeadLetter::read(entry).map(|letter| letter.about);
    let letters =
        Listed::read((log, &place.layout), &place.layout.dead_letters(handler), MAX_SEARCHED, read).await?;
    letters.say_what_is_unreadable();
    let of = |item: super::listed::Item<parked::About>| item.what;
    Ok(in_queues(parked.items.into_iter().map(of).collect(), letters.items.iter().map(|item| &item.what)))
}

/// The events by handler and key, those without a key each by itself.
fn in_queues<'a>(
    mut parked: Vec<parked::About>,
    letters: impl Iterator<Item = &'a dead::About>,
) -> Vec<Queue> {
    let mut holding: BTreeMap<(&HandlerName, &str), Position> = BTreeMap::new();
    for letter in letters.filter(|letter| letter.holds_key) {
        if let Some(key) = letter.original.key.as_deref() {
            let first = holding.entry((&letter.original.handler, key)).or_insert(letter.original.position);
            *first = letter.original.position.min(*first);
        }
    }
    parked.sort_by_key(|about| about.original.position);
    let mut queues: BTreeMap<(HandlerName, Option<String>, Position), Queue> = BTreeMap::new();
    for about in parked {
        let parked::About { original, attempts, due, mut failures, .. } = about;
        let (handler, key, position) = (original.handler, original.key, original.position);
        // Events of a key are one queue.
        let place = if key.is_some() { Position::NONE } else { position };
        let held_by = key.as_deref().and_then(|key| holding.get(&(&handler, key))).copied();
        let held_by = held_by.filter(|letter| *letter < position);
        let queue = queues.entry((handler.clone(), key.clone(), place)).or_insert_with(|| Queue {
            handler,
            key,
            waiting: 0,
            position,
            attempts,
            due: held_by.is_none().then_some(due),
            failure: failures.pop(),
            held_by,
        });
        queue.waiting += 1;
    }
    queues.into_values().collect()
}

/// The parked event with this position or id.
async fn find(place: &Place, handler: &HandlerName, which: &str) -> Result<ParkedEvent> {
    if let Ok(position) = which.parse()
        && let Some(parked) = take(place, handler, Position(position)).await?
    {
        return Ok(parked);
    }
    let read = |entry| parked::About::read(&entry).map(|about| about.original);
    let subjects = place.layout.all_parked(Some(handler));
    let listed = Listed::read(place.at(), &subjects, MAX_SEARCHED, read).await?;
    listed.say_what_is_missing();
    let mut originals = listed.items.iter().map(|item| &item.what);
    if let Some(original) = originals.find(|original| original.event_id.as_deref() == Some(which))
        && let Some(parked) = take(place, handler, original.position).await?
    {
        return Ok(parked);
    }
    bail!("no event `{which}` of handler `{handler}` waits: list keys with `waxwing parked ls {handler}`")
}

async fn take(place: &Place, handler: &HandlerName, position: Position) -> Result<Option<ParkedEvent>> {
    let entry = place.log.last(&place.layout.parked(handler, position)).await?;
    Ok(entry.filter(|entry| !tombstone::is(entry)).map(ParkedEvent::read).transpose()?)
}

fn list(queues: &[Queue]) -> Result<()> {
    if queues.is_empty() {
        return Ok(say!("no event waits")?);
    }
    let headings = ["handler", "key", "waiting", "first", "attempts", "next", "last failure"];
    let mut table = output::table(&headings);
    for queue in queues {
        let next = match (queue.held_by, queue.due) {
            (Some(letter), _) => format!("held by the dead letter {letter}"),
            (None, Some(due)) => format!("{due:.0}"),
            (None, None) => String::new(),
        };
        let failure = queue
            .failure
            .as_ref()
            .map(|failed| format!("{}: {}", failed.kind, failed.reason.lines().next().unwrap_or_default()));
        table.add_row([
            queue.handler.to_string(),
            output::line(queue.key.as_deref().unwrap_or_default()),
            queue.waiting.to_string(),
            queue.position.to_string(),
            queue.attempts.to_string(),
            next,
            output::line(&failure.unwrap_or_default()),
        ]);
    }
    say!("{table}")?;
    Ok(())
}

fn show(parked: &ParkedEvent) -> Result<()> {
    let about = &parked.about;
    original::show_title(&about.original)?;
    for failed in &about.failures {
        let reason = output::lines(&failed.reason);
        say!("{BAD}{}{END} at attempt {}, {:.0}: {reason}", failed.kind, failed.attempt, failed.time)?;
    }
    original::show_id(&about.original)?;
    output::field("attempts", &about.attempts.to_string())?;
    output::field("since", &about.since.to_string())?;
    output::field("due", &about.due.to_string())?;
    original::show_content(&about.original, &parked.payload)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use waxwing_engine::{entry::Original, port::log::Entry};
    use waxwing_event::{Digest, Failure, Headers, Subject, outcome::FailureKind};

    use super::*;

    fn original(position: u64, key: Option<&str>) -> Original {
        let entry = Entry {
            position: Position(position),
            subject: Subject::from_checked("a.b"),
            headers: Headers::new(),
            payload: bytes::Bytes::new(),
            time: Timestamp::UNIX_EPOCH,
        };
        let mut original = Original::new(&"basket".parse().unwrap(), &entry, None);
        original.key = key.map(str::to_owned);
        original
    }

    fn parked(position: u64, key: Option<&str>) -> parked::About {
        parked::About::untried(original(position, key), Timestamp::UNIX_EPOCH)
    }

    fn letter(position: u64, key: &str) -> dead::About {
        let failure = Failure::new(FailureKind::Reject, "no");
        let original = original(position, Some(key));
        let mut about = dead::About::new(original, &failure, 1, Digest([1; 32]), Timestamp::UNIX_EPOCH);
        about.holds_key = true;
        about
    }

    #[test]
    fn events_of_a_key_are_one_queue_and_a_dead_letter_before_them_holds_it() {
        let mut failed = parked(4, Some("b"));
        failed.failed(2, &Failure::new(FailureKind::Trap, "oh"), Timestamp::UNIX_EPOCH);
        let events = vec![
            parked(9, Some("a")),
            parked(8, None),
            failed,
            parked(7, Some("a")),
            parked(6, None),
            parked(5, Some("b")),
        ];
        let letters = [letter(5, "a"), letter(3, "a"), letter(6, "b")];
        let queues = in_queues(events, letters.iter());
        let short: Vec<_> = queues
            .iter()
            .map(|q| (q.key.as_deref(), q.waiting, q.position.0, q.held_by.map(|p| p.0), q.due.is_some()))
            .collect();
        let expected = [
            (None, 1, 6, None, true),
            (None, 1, 8, None, true),
            (Some("a"), 2, 7, Some(3), false),
            (Some("b"), 2, 4, None, true),
        ];
        assert_eq!(short, expected);
        assert_eq!(queues[3].failure.as_ref().unwrap().reason, "oh");
    }
}
