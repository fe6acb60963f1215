//! `waxwing trace`: the story of one first event.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use waxwing_engine::entry::{Checkpoint, Layout};
use waxwing_event::{AppName, HandlerName};

use super::{
    General,
    output::{self, Output, say},
    place::Place,
    style::{BAD, DIM, END, GOOD, NAME, TITLE, WARN},
};
use crate::story::{
    self, Node, Story,
    gather::{End, Place as Stands, Run, Told},
    read::Source,
    tree::{Hearer, Ran},
};

/// Tells the story of one first event: who handled it, what that emitted, who handled that, and what failed or waits
///
/// All of it is read from the log, for as long as the log keeps it. Of state it tells the keys that nothing has written since.
/// `done`: what the run wrote is there. `handled`: nothing of that is left, or it wrote nothing; concluded from how far its
/// handler is, for handlers of the manifest.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing trace order-4711\n  \
    waxwing trace 0192f6c2-7d1e-7cc0-a0a3-6d1d2a1f9b10 --output json\n  \
    waxwing trace '#1207'")]
pub(super) struct Trace {
    /// The correlation id, which is the first event's id; or the id of any event of the story, or # and its position
    #[arg(value_name = "ID")]
    id: String,
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// Read the whole log, whatever its index says
    #[arg(long)]
    no_index: bool,
}

impl Trace {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        let (log, layout) = place.at();
        let mut checkpoints = Vec::new();
        for handler in place.handlers().await? {
            checkpoints.push((handler.clone(), checkpoint(&place, &handler).await?));
        }
        let is_foreign = |of: &&(HandlerName, Option<Checkpoint>)| {
            of.1.as_ref().is_some_and(|checkpoint| checkpoint.origin.is_some())
        };
        let foreign: BTreeSet<HandlerName> =
            checkpoints.iter().filter(is_foreign).map(|(handler, _)| handler.clone()).collect();
        let gathered = story::read(&Source { log, layout, foreign }, &self.id, !self.no_index).await?;
        let hearers: Vec<Hearer<'_>> = checkpoints
            .into_iter()
            .filter_map(|(handler, checkpoint)| Some(Hearer { spec: place.spec(&handler)?, checkpoint }))
            .collect();
        let Some(story) = gathered.and_then(|gathered| Story::of(gathered, layout, &hearers)) else {
            let app = layout.app();
            bail!(
                "the log of app `{app}` has no event `{}`: name a correlation id, or the id or the position of an event",
                self.id
            );
        };
        match general.output {
            Output::Json => output::json(&story)?,
            Output::Text => show(&story)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The least of what a handler's partitions have saved; none where one has saved nothing.
async fn checkpoint(place: &Place, handler: &HandlerName) -> Result<Option<Checkpoint>> {
    let (log, layout): (_, &Layout) = place.at();
    let mut least: Option<Checkpoint> = None;
    for partition in layout.partitions(handler) {
        let Some(entry) = log.last(&layout.checkpoint(handler, partition)).await? else { return Ok(None) };
        let Ok(checkpoint) = Checkpoint::read(&entry) else { return Ok(None) };
        if least.as_ref().is_none_or(|least| checkpoint.watermark < least.watermark) {
            least = Some(checkpoint);
        }
    }
    Ok(least)
}

fn show(story: &Story) -> Result<()> {
    let begun = story.events.iter().find_map(first);
    for node in &story.events {
        show_node(node, &Lines::default(), begun)?;
    }
    Ok(())
}

/// When the first event was stored of which that is known.
fn first(node: &Node) -> Option<Timestamp> {
    let below = || node.runs.iter().flat_map(|ran| &ran.emitted).chain(&node.others).find_map(first);
    node.event.as_ref().map(|told| told.time).or_else(below)
}

/// The lines of a tree, left of what hangs on it.
#[derive(Debug, Clone, Default)]
struct Lines {
    /// Before the first line.
    head: String,
    /// Before those below.
    rest: String,
}

impl Lines {
    fn below(&self, is_last: bool) -> Lines {
        let (branch, line) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        Lines { head: format!("{}{branch}", self.rest), rest: format!("{}{line}", self.rest) }
    }
}

/// What hangs on a node or a run.
enum Below<'s> {
    Run(&'s Ran),
    Event(&'s Node),
}

fn show_node(node: &Node, lines: &Lines, begun: Option<Timestamp>) -> Result<()> {
    let head = &lines.head;
    let id = output::line(&node.id);
    match &node.event {
        Some(told) => {
            let what = subject(told);
            let since = since(told.time, begun);
            say!(
                "{DIM}{head}{END}{TITLE}{what}{END} {DIM}#{} {id} {since}{END}{}",
                told.position,
                place(told)
            )?;
        }
        None => {
            say!("{DIM}{head}{END}{TITLE}{id}{END} {DIM}is not in the log: a timer, a request, or gone{END}")?
        }
    }
    let runs = node.runs.iter().map(Below::Run);
    show_below(runs.chain(node.others.iter().map(Below::Event)).collect(), lines, begun)?;
    if node.is_cut {
        say!("{DIM}{}└─ …{END}", lines.rest)?;
    }
    Ok(())
}

fn show_below(below: Vec<Below<'_>>, lines: &Lines, begun: Option<Timestamp>) -> Result<()> {
    let last = below.len().saturating_sub(1);
    for (i, each) in below.into_iter().enumerate() {
        let lines = lines.below(i == last);
        match each {
            Below::Event(node) => show_node(node, &lines, begun)?,
            Below::Run(Ran { run, emitted }) => {
                say!("{DIM}{}{END}{}", lines.head, told(run, begun))?;
                show_below(emitted.iter().map(Below::Event).collect(), &lines, begun)?;
            }
        }
    }
    Ok(())
}

/// What is told of a run, in a line.
fn told(run: &Run, begun: Option<Timestamp>) -> String {
    let mut line = format!("{NAME}{}{END}", run.handler);
    if let Some(version) = run.version {
        line.push_str(&format!(" v{version}"));
    }
    line.push_str(&match &run.end {
        End::Done => format!(" {GOOD}done{END}"),
        End::Handled => format!(" {DIM}handled{END}"),
        End::Open => format!(" {WARN}not handled yet{END}"),
        End::Dead { kind, reason, attempts, is_archived } => {
            let letter = if *is_archived { "archived dead letter" } else { "dead letter" };
            let reason = output::line(reason);
            format!(" {BAD}{letter}{END} after {}: {kind}: {reason}", counted(*attempts, "attempt"))
        }
        End::Parked { attempts: 0, .. } => format!(" {WARN}waits{END} behind one of its key"),
        End::Parked { attempts, due, reason } => {
            let reason = output::line(reason.as_deref().unwrap_or_default());
            format!(" {WARN}waits{END} until {due}, after {}: {reason}", counted(*attempts, "attempt"))
        }
    });
    if run.waited {
        line.push_str(" after a wait");
    }
    if let Some(written) = run.written {
        line.push_str(&format!(" {DIM}{}{END}", since(written, begun)));
    }
    let mut list = |what: &str, of: &BTreeSet<String>| {
        if !of.is_empty() {
            let of: Vec<String> = of.iter().map(|key| output::line(key)).collect();
            line.push_str(&format!(" {DIM}{what} {}{END}", of.join(", ")));
        }
    };
    list("state", &run.state);
    list("ends timer", &run.timers);
    line
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn subject(told: &Told) -> String {
    match &told.place {
        Stands::Timer { id, .. } => format!("timer {}", output::line(id)),
        _ => told.subject.to_string(),
    }
}

fn place(told: &Told) -> String {
    match &told.place {
        Stands::Log => String::new(),
        Stands::Outbox => format!(" {WARN}waits to go out{END}"),
        Stands::Refused => format!(" {BAD}is refused outside{END}"),
        Stands::Timer { due, .. } => format!(" {WARN}fires at {due}{END}"),
    }
}

/// How long after the first event; of that itself, when.
fn since(time: Timestamp, begun: Option<Timestamp>) -> String {
    match begun {
        Some(begun) if time > begun => {
            let ms = time.duration_since(begun).as_millis();
            match ms {
                0..10_000 => format!("+{ms} ms"),
                10_000..600_000 => format!("+{} s", ms / 1000),
                _ => format!("+{} min", ms / 60_000),
            }
        }
        _ => time.to_string(),
    }
}
