//! `waxwing hosts`: the hosts of an app that live, and what each runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{Lease, generation::GenerationName, member::Member},
    port::log::Part,
};
use waxwing_event::{AppName, Label};

use super::{
    General,
    output::{self, Output, say},
    place::Place,
    watching::Watching,
};

/// The most hosts, and leases, that are looked at.
const MAX_LISTED: usize = 100_000;

/// Lists the hosts of the app that live, and the handlers that each runs
///
/// A host tells three times in its lease time that it lives; one that has not told for that long is not listed. One that
/// runs nothing waits to take over. What `waxwing rebuild` builds is listed as the generation that it is: `basket~2`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing hosts\n  \
    waxwing hosts --app shop --output json")]
pub(super) struct Hosts {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    #[command(flatten)]
    watching: Watching,
}

/// A host.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    host: String,
    /// When it last told that it lives.
    told: Timestamp,
    /// The version of its program.
    version: String,
    /// What is special about it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    labels: BTreeSet<Label>,
    /// True where it takes up only what no other host can run.
    standby: bool,
    /// True where it is about to stop.
    leaving: bool,
    /// What it runs.
    handlers: BTreeSet<String>,
}

impl Hosts {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        let shown = self.watching.show(async || {
            let rows = rows(&place).await?;
            match general.output {
                Output::Json => output::json(&rows),
                Output::Text => show(&rows),
            }
        });
        shown.await?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn rows(place: &Place) -> Result<Vec<Row>> {
    let (log, layout) = place.at();
    let leases = log.last_of_each(&layout.leases(), Part::Whole, MAX_LISTED).await?;
    let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in leases {
        let host = Lease::read(&entry).ok().and_then(|lease| lease.host);
        let (Some(host), Some(name)) = (host, layout.generation_of(&entry.subject)) else { continue };
        // People know the live one by the handler's name.
        let GenerationName { handler, generation } = &name;
        let is_live = *generation == layout.generation(handler);
        let shown = if is_live { handler.to_string() } else { name.to_string() };
        let number = entry.subject.tokens().last().filter(|_| layout.partitions(handler).count() > 1);
        let shown = number.map_or(shown.clone(), |number| format!("{shown}/{number}"));
        held.entry(host).or_default().insert(shown);
    }
    // After the leases: who has one by then has told that it lives.
    let living = log.last_of_each(&layout.hosts(), Part::Whole, MAX_LISTED).await?;
    let rows = living.iter().filter_map(|entry| {
        let host = entry.subject.tokens().last()?.to_owned();
        let handlers = held.remove(&host).unwrap_or_default();
        let member = Member::read(entry);
        let version = member.as_ref().map(|member| member.version.clone()).unwrap_or_default();
        let (standby, leaving) =
            member.as_ref().map_or((false, false), |member| (member.standby, member.leaving));
        let labels = member.map(|member| member.labels).unwrap_or_default();
        Some(Row { host, told: entry.time, version, labels, standby, leaving, handlers })
    });
    Ok(rows.collect())
}

fn show(rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(say!("no host lives: start one with `waxwing run`")?);
    }
    let mut table = output::table(&["host", "version", "labels", "last told", "runs"]);
    for Row { host, told, version, labels, standby, leaving, handlers } in rows {
        let handlers: Vec<&str> = handlers.iter().map(String::as_str).collect();
        let runs = match (handlers.is_empty(), leaving) {
            (_, true) => "it stops".to_owned(),
            (true, false) if *standby => "nothing: it stands by".to_owned(),
            (true, false) => "nothing: it waits".to_owned(),
            (false, false) => handlers.join(" "),
        };
        let labels = labels.iter().map(Label::as_str).collect::<Vec<_>>().join(" ");
        table.add_row([output::line(host), output::line(version), labels, format!("{told:.0}"), runs]);
    }
    Ok(say!("{table}")?)
}
