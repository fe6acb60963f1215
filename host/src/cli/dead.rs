//! `waxwing dead`: looks at dead letters.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use waxwing_engine::{
    entry::{DeadLetter, Layout, Original, tombstone},
    port::log::{Log, Part},
};
use waxwing_event::{AppName, HandlerName, Position};

use super::{
    General, found,
    output::{self, Output},
    style::{BAD, DIM, END, NAME, TITLE},
};

/// Looks at events that handlers could not handle
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing dead ls\n  \
    waxwing dead ls catalog --output json\n  \
    waxwing dead show catalog 17")]
pub(super) struct Dead {
    /// The app [default: that of the manifest]
    #[arg(long, global = true, value_name = "NAME")]
    app: Option<AppName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists dead letters
    #[command(after_help = "Examples:\n  waxwing dead ls\n  waxwing dead ls catalog")]
    Ls {
        /// Only those of this handler
        handler: Option<HandlerName>,
        /// The most dead letters to read
        #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
        limit: usize,
    },
    /// Shows one dead letter: reason, stack, headers and data
    #[command(
        after_help = "Examples:\n  waxwing dead show catalog 17\n  waxwing dead show catalog order-4711"
    )]
    Show {
        /// The handler
        handler: HandlerName,
        /// The event's position in the log, or its id
        #[arg(value_name = "POSITION|ID")]
        which: String,
    },
}

/// The most dead letters that are looked through for an id.
const MAX_SEARCHED: usize = 100_000;

impl Dead {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let layout = Layout::new(found::app(self.app.as_ref(), general)?);
        let log = found::existing_log(layout.app(), general).await?;
        match &self.command {
            Command::Ls { handler, limit } => {
                let letters = read(&*log, &layout, handler.as_ref(), *limit).await?;
                list(&letters, *limit, general.output)?;
            }
            Command::Show { handler, which } => {
                let letter = find(&*log, &layout, handler, which).await?;
                match general.output {
                    Output::Json => output::json(&as_json(&letter)?)?,
                    Output::Text => show(&letter),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn read(
    log: &dyn Log,
    layout: &Layout,
    handler: Option<&HandlerName>,
    limit: usize,
) -> Result<Vec<DeadLetter>> {
    let entries = log.last_of_each(&layout.dead_letters(handler), Part::Headers, limit).await?;
    let mut letters = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().filter(|entry| !tombstone::is(entry)) {
        letters.push(DeadLetter::read(entry)?);
    }
    letters.sort_by_key(|letter| letter.about.original.position);
    Ok(letters)
}

async fn find(log: &dyn Log, layout: &Layout, handler: &HandlerName, which: &str) -> Result<DeadLetter> {
    if let Ok(position) = which.parse()
        && let Some(entry) = log.last(&layout.dead(handler, Position(position))).await?
        && !tombstone::is(&entry)
    {
        return Ok(DeadLetter::read(entry)?);
    }
    let letters = read(log, layout, Some(handler), MAX_SEARCHED).await?;
    let same = letters.into_iter().find(|letter| letter.about.original.event_id.as_deref() == Some(which));
    if let Some(letter) = same
        && let Some(entry) = log.last(&layout.dead(handler, letter.about.original.position)).await?
    {
        return Ok(DeadLetter::read(entry)?);
    }
    bail!("handler `{handler}` has no dead letter `{which}`: list them with `waxwing dead ls {handler}`")
}

fn list(letters: &[DeadLetter], limit: usize, output: Output) -> Result<()> {
    if output == Output::Json {
        return output::json(&letters.iter().map(|letter| &letter.about).collect::<Vec<_>>());
    }
    if letters.is_empty() {
        anstream::println!("no dead letters");
        return Ok(());
    }
    let mut table = output::table(&["handler", "position", "subject", "key", "kind", "reason", "time"]);
    for about in letters.iter().map(|letter| &letter.about) {
        table.add_row([
            about.original.handler.to_string(),
            about.original.position.to_string(),
            about.original.subject.to_string(),
            output::line(about.original.key.as_deref().unwrap_or_default()),
            about.kind.to_string(),
            output::line(about.reason.lines().next().unwrap_or_default()),
            format!("{:.0}", about.time),
        ]);
    }
    anstream::println!("{table}");
    if letters.len() >= limit {
        anstream::eprintln!("only {limit} dead letters were read: raise --limit to see the others");
    }
    Ok(())
}

fn as_json(letter: &DeadLetter) -> Result<Value> {
    let mut value = json!({ "about": &letter.about, "data": output::data(&letter.payload) });
    if let Some(object) = value.as_object_mut() {
        // Bytes that are no text would otherwise be lost to `data`'s reading of them.
        object.insert("sizeBytes".to_owned(), letter.payload.len().into());
    }
    Ok(value)
}

/// Where the original stands.
fn place(original: &Original) -> String {
    let position = original.position;
    match &original.stream {
        Some(stream) => format!("position {position} of the stream {stream}"),
        None => format!("position {position}"),
    }
}

fn show(letter: &DeadLetter) {
    let about = &letter.about;
    anstream::println!(
        "{TITLE}{}{END} at {}, {NAME}{}{END}",
        about.original.subject,
        place(&about.original),
        about.original.handler
    );
    anstream::println!("{BAD}{}{END}: {}", about.kind, output::lines(&about.reason));
    for line in about.backtrace.iter().flat_map(|trace| trace.lines()) {
        anstream::println!("  {DIM}{}{END}", output::line(line));
    }
    let line = |name: &str, value: &str| anstream::println!("{DIM}{name:<10}{END} {value}");
    line("id", &output::line(about.original.event_id.as_deref().unwrap_or("unknown")));
    line("key", &output::line(about.original.key.as_deref().unwrap_or("none")));
    line("attempts", &about.attempts.to_string());
    line("time", &about.time.to_string());
    line("module", &about.module.to_string());
    for (name, value) in &about.original.headers {
        line("header", &output::line(&format!("{name}: {value}")));
    }
    if let Some(block) = &about.original.broken_headers {
        line("headers", &format!("unreadable, base64: {block}"));
    }
    match (about.original.payload_omitted, std::str::from_utf8(&letter.payload)) {
        (true, _) => {
            line("data", &format!("too large to be kept here: it stands at {}", place(&about.original)))
        }
        (false, Ok(text)) => line("data", &output::lines(text)),
        (false, Err(_)) => {
            line("data", &format!("{} bytes that are no text: see --output json", letter.payload.len()))
        }
    }
}
