//! `waxwing outbox`: looks at events for subjects outside the log, and sends refused ones again.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{Layout, Outgoing, Refusal, Relayed, operator, tombstone},
    port::log::{Entry, Log, Part, commit},
};
use waxwing_event::{AppName, HandlerName, Position, Subject, handler::Audience};

use super::{
    General, found,
    output::{self, Output},
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
        /// The most events to read
        #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
        limit: usize,
    },
    /// Sends refused events again, behind those that wait
    #[command(
        after_help = "Examples:\n  waxwing outbox redrive basket 0d6f1f4e-58f4-5d0c-a3a0-6a2f4a5b7c1d\n  \
            waxwing outbox redrive basket --all"
    )]
    Redrive {
        /// The handler
        handler: HandlerName,
        /// The events' ids
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

/// The most refused events that are sent again at once.
const MAX_REDRIVEN: usize = 100_000;

/// An event that is not out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
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
        let layout = Layout::new(found::app(self.app.as_ref(), general)?);
        let log = found::existing_log(layout.app(), general).await?;
        match &self.command {
            Command::Ls { handler, limit } => {
                let mut listed = waiting(&*log, &layout, handler.as_ref(), *limit).await?;
                listed.extend(refused(&*log, &layout, handler.as_ref(), *limit).await?);
                listed.sort_by_key(|event| event.position);
                list(&listed, *limit, general.output)?;
            }
            Command::Redrive { handler, ids, all } => {
                let which = (!all).then_some(ids.as_slice());
                let count = redrive(&*log, &layout, handler, which).await?;
                match general.output {
                    Output::Json => output::json(&serde_json::json!({ "redriven": count }))?,
                    Output::Text => anstream::println!("{count} sent again"),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Events that are known to wait. How far the relay has come is saved once a second.
async fn waiting(
    log: &dyn Log,
    layout: &Layout,
    handler: Option<&HandlerName>,
    limit: usize,
) -> Result<Vec<Listed>> {
    let entries = log.last_of_each(&layout.outboxes(handler), Part::Headers, limit).await?;
    let mut listed = Vec::new();
    let mut relayed: Vec<(HandlerName, Position)> = Vec::new();
    for entry in entries {
        let Some(handler) = layout.handler_of(&entry.subject) else { continue };
        let known = relayed.iter().find(|(known, _)| *known == handler).map(|(_, up_to)| *up_to);
        let up_to = match known {
            Some(up_to) => up_to,
            None => {
                let up_to = match log.last(&layout.relayed(&handler)).await? {
                    Some(saved) => Relayed::read(&saved)?.up_to,
                    None => Position::NONE,
                };
                relayed.push((handler.clone(), up_to));
                up_to
            }
        };
        if entry.position > up_to {
            listed.push(Listed::of(handler, "waiting", Outgoing::read(entry)?));
        }
    }
    Ok(listed)
}

async fn refused(
    log: &dyn Log,
    layout: &Layout,
    handler: Option<&HandlerName>,
    limit: usize,
) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in log.last_of_each(&layout.refusals(handler), Part::Headers, limit).await? {
        let Some(handler) = layout.handler_of(&entry.subject).filter(|_| !tombstone::is(&entry)) else {
            continue;
        };
        let Refusal { reason, attempts, .. } = Refusal::read(&entry)?;
        let mut event = Listed::of(handler, "refused", Outgoing::read(entry)?);
        (event.attempts, event.reason) = (Some(attempts), Some(reason));
        listed.push(event);
    }
    Ok(listed)
}

impl Listed {
    fn of(handler: HandlerName, status: &'static str, outgoing: Outgoing) -> Listed {
        let Outgoing { position, time, message } = outgoing;
        let (audience, subject, id) = (message.audience, message.subject, message.id);
        Listed { handler, status, audience, subject, id, position, time, attempts: None, reason: None }
    }
}

fn list(listed: &[Listed], limit: usize, output: Output) -> Result<()> {
    if output == Output::Json {
        return output::json(&listed);
    }
    if listed.is_empty() {
        anstream::println!("nothing waits, and nothing is refused");
        return Ok(());
    }
    let mut table = output::table(&["handler", "status", "to", "id", "time", "reason"]);
    for event in listed {
        table.add_row([
            event.handler.to_string(),
            event.status.to_owned(),
            event.subject.to_string(),
            output::line(&event.id),
            format!("{:.0}", event.time),
            output::line(event.reason.as_deref().unwrap_or_default()),
        ]);
    }
    anstream::println!("{table}");
    if listed.len() >= limit {
        anstream::eprintln!("not all events were read: raise --limit to see the others");
    }
    Ok(())
}

/// Puts refused events back into the outbox: all of them, or those with these ids.
async fn redrive(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
    ids: Option<&[String]>,
) -> Result<usize> {
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
    for subject in &subjects {
        let Some(entry) = log.last(subject).await?.filter(|entry| !tombstone::is(entry)) else {
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
