//! `waxwing outbox`: looks at events for subjects outside the log, and sends refused ones again.

use std::{process::ExitCode, slice};

use anyhow::{Result, bail};
use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{EntryError, Layout, Outgoing, Places, Refusal, operator, tombstone},
    port::log::{Entry, Log, Part, ReadError, commit},
};
use waxwing_event::{AppName, HandlerName, Position, Subject, handler::Audience};

use super::{
    General,
    listed::{Listed, MAX_SEARCHED, say_that_there_may_be_more},
    output::{self, Output, say},
    place::Place,
};

/// Looks at events for subjects outside the app's log
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing outbox ls\n  \
    waxwing outbox ls basket --output json\n  \
    waxwing outbox redrive basket --all")]
pub(super) struct Outbox {
    /// The app [default: that of the manifest]
    #[arg(long, global = true, value_name = "NAME")]
    app: Option<AppName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists events that are not out: those that wait, as of a second ago, and those that are refused
    #[command(after_help = "Examples:\n  waxwing outbox ls\n  waxwing outbox ls basket")]
    Ls {
        /// Only those of this handler
        handler: Option<HandlerName>,
        /// The most events to list
        #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
        limit: usize,
    },
    /// Sends refused events again, behind those that wait
    #[command(
        group = ArgGroup::new("which").required(true),
        override_usage = "waxwing outbox redrive [OPTIONS] <HANDLER> <ID>...\n       \
            waxwing outbox redrive [OPTIONS] <HANDLER> --all",
        after_help = "Examples:\n  waxwing outbox redrive basket 0d6f1f4e-58f4-5d0c-a3a0-6a2f4a5b7c1d\n  \
            waxwing outbox redrive basket --all"
    )]
    Redrive {
        /// The handler
        handler: HandlerName,
        /// The events' ids
        #[arg(value_name = "ID", group = "which", conflicts_with = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
}

/// The most refused events that are sent again at once.
const MAX_REDRIVEN: usize = 100_000;

/// An event that is not out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    handler: HandlerName,
    status: &'static str,
    audience: Audience,
    subject: Subject,
    id: String,
    position: Position,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Outbox {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        match &self.command {
            Command::Ls { handler, limit } => {
                let (events, is_cut) = events(&place, handler.as_ref(), *limit).await?;
                match general.output {
                    Output::Json => output::json(&events)?,
                    Output::Text => list(&events)?,
                }
                if is_cut {
                    say_that_there_may_be_more(events.len());
                }
            }
            Command::Redrive { handler, ids, all } => {
                let which = (!all).then_some(ids.as_slice());
                let count = redrive(&place, handler, which).await?;
                match general.output {
                    Output::Json => output::json(&serde_json::json!({ "redriven": count }))?,
                    Output::Text => say!("{count} sent again")?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Events that are not out, oldest first, and whether there may be more.
async fn events(place: &Place, handler: Option<&HandlerName>, limit: usize) -> Result<(Vec<Event>, bool)> {
    let (log, layout) = (place.log.as_ref(), &place.layout);
    let waiting = waiting(log, layout, handler, limit, |entry| Event::waiting(layout, entry)).await?;
    let read = |entry| Event::refused(layout, entry);
    let refused = Listed::read((log, layout), &layout.refusals(handler), limit, read).await?;
    waiting.say_what_is_unreadable();
    refused.say_what_is_unreadable();
    if waiting.is_empty() && refused.is_empty() {
        place.expect(handler.map(slice::from_ref).unwrap_or_default()).await?;
    }
    let is_cut = waiting.is_cut || refused.is_cut;
    let items = waiting.items.into_iter().chain(refused.items);
    let mut events: Vec<Event> = items.map(|item| item.what).collect();
    events.sort_by_key(|event| event.position);
    let is_cut = is_cut || events.len() > limit;
    events.truncate(limit);
    Ok((events, is_cut))
}

/// Events that are known to wait. How far the relay has come is saved once a second.
pub(super) async fn waiting<T>(
    log: &dyn Log,
    layout: &Layout,
    handler: Option<&HandlerName>,
    limit: usize,
    read: impl Fn(Entry) -> Result<T, EntryError>,
) -> Result<Listed<T>, ReadError> {
    let places = match handler {
        Some(handler) => log.last(&layout.relayed(handler)).await?.into_iter().collect(),
        None => log.last_of_each(&layout.all_relayed(), Part::Whole, MAX_SEARCHED).await?,
    };
    let places = Places::read(layout, &places);
    let is_out = |entry: &Entry| {
        let handler = layout.handler_of(&entry.subject);
        handler.is_none_or(|handler| places.is_out(&handler, entry))
    };
    Listed::read_unless(log, &layout.outboxes(handler), limit, is_out, read).await
}

impl Event {
    fn waiting(layout: &Layout, entry: Entry) -> Result<Event, EntryError> {
        Event::of(layout, "waiting", entry)
    }

    fn refused(layout: &Layout, entry: Entry) -> Result<Event, EntryError> {
        let Refusal { reason, attempts, .. } = Refusal::read(&entry)?;
        let event = Event::of(layout, "refused", entry)?;
        Ok(Event { attempts: Some(attempts), reason: Some(reason), ..event })
    }

    fn of(layout: &Layout, status: &'static str, entry: Entry) -> Result<Event, EntryError> {
        let handler = layout.handler_of(&entry.subject);
        let handler = handler.ok_or_else(|| EntryError::new(&entry, "its subject names no handler"))?;
        let Outgoing { position, time, message } = Outgoing::read(entry)?;
        let (audience, subject, id) = (message.audience, message.subject, message.id);
        Ok(Event { handler, status, audience, subject, id, position, time, attempts: None, reason: None })
    }
}

fn list(events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Ok(say!("nothing waits, and nothing is refused")?);
    }
    let mut table = output::table(&["handler", "status", "to", "id", "time", "reason"]);
    for event in events {
        table.add_row([
            event.handler.to_string(),
            event.status.to_owned(),
            event.subject.to_string(),
            output::line(&event.id),
            format!("{:.0}", event.time),
            output::line(event.reason.as_deref().unwrap_or_default()),
        ]);
    }
    say!("{table}")?;
    Ok(())
}

/// Puts refused events back into the outbox: all of them, or those with these ids.
async fn redrive(place: &Place, handler: &HandlerName, ids: Option<&[String]>) -> Result<usize> {
    let (log, layout) = (place.log.as_ref(), &place.layout);
    let subjects: Vec<Subject> = match ids {
        Some(ids) => ids.iter().map(|id| refused_subject(layout, handler, id)).collect::<Result<_>>()?,
        None => {
            let mut entries =
                log.last_of_each(&layout.refusals(Some(handler)), Part::Headers, MAX_REDRIVEN).await?;
            entries.retain(|entry| !tombstone::is(entry));
            // In the order in which they were set aside.
            entries.sort_by_key(|entry| entry.position);
            entries.into_iter().map(|entry| entry.subject).collect()
        }
    };
    if subjects.is_empty() {
        place.expect(slice::from_ref(handler)).await?;
    }
    for subject in &subjects {
        let Some(entry) = log.last(subject).await?.filter(|entry| !tombstone::is(entry)) else {
            place.expect(slice::from_ref(handler)).await?;
            let id = subject.tokens().last().unwrap_or_default();
            bail!(
                "handler `{handler}` has no refused event `{id}`: list them with `waxwing outbox ls {handler}`"
            );
        };
        put_back(log, layout, handler, entry).await?;
    }
    Ok(subjects.len())
}

fn refused_subject(layout: &Layout, handler: &HandlerName, id: &str) -> Result<Subject> {
    Ok(layout.refused(handler, id).as_str().parse()?)
}

/// In one step: the event is in the outbox again, and no longer refused.
async fn put_back(log: &dyn Log, layout: &Layout, handler: &HandlerName, entry: Entry) -> Result<()> {
    let refused = Outgoing::read(entry.clone())?;
    commit(log, operator::send_again(layout, handler, &entry, &refused)).await?;
    Ok(())
}
