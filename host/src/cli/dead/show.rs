//! `waxwing dead show`: one dead letter.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use waxwing_engine::{
    entry::{DeadLetter, parked},
    port::log::Entry,
};
use waxwing_event::{HandlerName, Position};

use super::{
    letter::{Shelf, not_open},
    selection::one,
};
use crate::cli::{
    General,
    listed::{Listed, MAX_SEARCHED},
    original,
    output::{self, Output, say},
    place::Place,
    style::{BAD, DIM, END},
};

/// Shows one dead letter: reason, stack, headers and data, and what it holds up
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  waxwing dead show catalog 17\n  waxwing dead show catalog order-4711")]
pub(super) struct Show {
    /// The handler
    handler: HandlerName,
    /// The event's position in the log, or its id
    #[arg(value_name = "POSITION|ID")]
    which: String,
    /// Shows one that was archived
    #[arg(long)]
    archived: bool,
}

impl Show {
    pub(super) async fn execute(&self, place: &Place, general: &General) -> Result<ExitCode> {
        let shelf = if self.archived { Shelf::Archive } else { Shelf::Open };
        let (_, letter) = find(place, shelf, &self.handler, &self.which).await?;
        let behind = match shelf {
            Shelf::Open => parked_behind(place, &letter).await?,
            Shelf::Archive => 0,
        };
        match general.output {
            Output::Json => output::json(&as_json(&letter, behind))?,
            Output::Text => show(&letter, behind)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The dead letter of the event with this position or id, and its entry.
pub(super) async fn find(
    place: &Place,
    shelf: Shelf,
    handler: &HandlerName,
    which: &str,
) -> Result<(Entry, DeadLetter)> {
    if let Ok(position) = which.parse()
        && let Some(found) = shelf.take(place, handler, Position(position)).await?
    {
        return Ok(found);
    }
    let listed = shelf.list(place, Some(handler), MAX_SEARCHED).await?;
    listed.say_what_is_missing();
    if let Some(about) = one(which, &listed.items)
        && let Some(found) = shelf.take(place, handler, about.original.position).await?
    {
        return Ok(found);
    }
    match shelf {
        Shelf::Open => Err(not_open(place, handler, which).await),
        Shelf::Archive => bail!(
            "handler `{handler}` has no archived dead letter `{which}`: list them with `waxwing dead ls --archived {handler}`"
        ),
    }
}

/// How many events wait for somebody to decide about a letter.
async fn parked_behind(place: &Place, letter: &DeadLetter) -> Result<usize> {
    let original = &letter.about.original;
    if !letter.about.holds_key {
        return Ok(0);
    }
    let subjects = place.layout.all_parked(Some(&original.handler));
    let read = |entry| parked::About::read(&entry);
    let parked = Listed::read(place.at(), &subjects, MAX_SEARCHED, read).await?;
    let is_behind = |parked: &parked::About| {
        parked.original.key == original.key && parked.original.position > original.position
    };
    Ok(parked.items.iter().filter(|item| is_behind(&item.what)).count())
}

fn as_json(letter: &DeadLetter, behind: usize) -> Value {
    json!({
        "about": &letter.about,
        "data": output::data(&letter.payload),
        // Bytes that are no text would otherwise be lost to `data`'s reading of them.
        "sizeBytes": letter.payload.len(),
        "parkedBehind": behind,
    })
}

fn show(letter: &DeadLetter, behind: usize) -> Result<()> {
    let about = &letter.about;
    original::show_title(&about.original)?;
    say!("{BAD}{}{END}: {}", about.kind, output::lines(&about.reason))?;
    for line in about.backtrace.iter().flat_map(|trace| trace.lines()) {
        say!("  {DIM}{}{END}", output::line(line))?;
    }
    original::show_id(&about.original)?;
    if about.holds_key {
        let waiting = match behind {
            0 => "later events of the key wait".to_owned(),
            1 => "1 later event of the key waits".to_owned(),
            many => format!("{many} later events of the key wait"),
        };
        output::field("holds", &format!("{waiting} until this one is redriven or archived"))?;
    }
    output::field("attempts", &about.attempts.to_string())?;
    output::field("time", &about.time.to_string())?;
    output::field("module", &about.module.to_string())?;
    original::show_content(&about.original, &letter.payload)?;
    Ok(())
}
