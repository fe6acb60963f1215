//! `waxwing state`: looks into the state of handlers.

use std::{process::ExitCode, slice};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use waxwing_engine::{
    entry::{generation::Generation, state},
    port::log::Part,
};
use waxwing_event::{AppName, HandlerName, Position};

use super::{
    General, generation,
    history::{Until, Was, state_at},
    output::{self, Output, say},
    place::Place,
    time,
};

/// Looks into the state of a handler
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing state ls basket\n  \
    waxwing state get basket tea\n  \
    waxwing state get account 42 --at 2026-11-20T10:00:00Z\n  \
    waxwing state get basket tea --app shop --server nats://127.0.0.1:4222")]
pub(super) struct State {
    /// The app [default: that of the manifest]
    #[arg(long, global = true, value_name = "NAME")]
    app: Option<AppName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the value of a key
    #[command(
        after_help = "Examples:\n  waxwing state get basket tea\n  waxwing state get booking event/e1 --output json\n  \
        waxwing state get account 42 --at 2026-11-20T10:00:00Z\n  waxwing state get account 42 --at-seq 500"
    )]
    Get {
        /// The handler
        handler: HandlerName,
        /// The key
        key: String,
        /// What the aggregate of this id was at that time: RFC 3339
        #[arg(long, value_name = "TIME", value_parser = time::parse)]
        at: Option<Timestamp>,
        /// What the aggregate of this id was at that position of the log
        #[arg(long, value_name = "POSITION", conflicts_with = "at")]
        at_seq: Option<u64>,
        /// That of this generation of the handler [default: the live one]
        #[arg(long, value_name = "NUMBER", conflicts_with_all = ["at", "at_seq"])]
        generation: Option<u32>,
    },
    /// Lists keys
    #[command(after_help = "Examples:\n  waxwing state ls basket\n  waxwing state ls booking event/")]
    Ls {
        /// The handler
        handler: HandlerName,
        /// Only keys that start with this
        #[arg(default_value = "")]
        prefix: String,
        /// The most keys to read
        #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
        limit: usize,
        /// Those of this generation of the handler [default: the live one]
        #[arg(long, value_name = "NUMBER")]
        generation: Option<u32>,
    },
}

impl State {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let mut place = Place::find(self.app.as_ref(), general).await?;
        let (Command::Get { handler, generation, .. } | Command::Ls { handler, generation, .. }) =
            &self.command;
        if let Some(generation) = generation {
            generation::expect(&place, handler, Generation(*generation)).await?;
            place.layout = place.layout.at(handler, Generation(*generation));
        }
        match &self.command {
            Command::Get { handler, key, at, at_seq, .. } => {
                let position = at_seq.map(|position| Until::Position(Position(position)));
                match at.map(Until::Time).or(position) {
                    Some(until) => get_past(&place, handler, key, until, general).await,
                    None => get(&place, handler, key, general).await,
                }
            }
            Command::Ls { handler, prefix, limit, .. } => {
                list(&place, handler, prefix, *limit, general).await
            }
        }
    }
}

async fn get(place: &Place, handler: &HandlerName, key: &str, general: &General) -> Result<ExitCode> {
    let entry = place.log.last(&place.layout.state(handler, key)).await?;
    let position = entry.as_ref().map(|entry| (entry.position, entry.time));
    let (Some((position, time)), Some(value)) = (position, entry.and_then(state::value)) else {
        place.expect(slice::from_ref(handler)).await?;
        bail!("handler `{handler}` has no state `{key}`: list its keys with `waxwing state ls {handler}`");
    };
    if general.output == Output::Json {
        output::json(
            &json!({ "key": key, "position": position, "time": time, "value": output::data(&value) }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&value)
}

async fn get_past(
    place: &Place,
    handler: &HandlerName,
    id: &str,
    until: Until,
    general: &General,
) -> Result<ExitCode> {
    let Was { value, position, time, events } = state_at(place, handler, id, until, general).await?;
    if general.output == Output::Json {
        let value = output::data(&value);
        output::json(
            &json!({ "key": id, "position": position, "time": time, "events": events, "value": value }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&value)
}

fn write(value: &[u8]) -> Result<ExitCode> {
    output::write_bytes(value)?;
    if output::is_watched() {
        output::write_bytes(b"\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    place: &Place,
    handler: &HandlerName,
    prefix: &str,
    limit: usize,
    general: &General,
) -> Result<ExitCode> {
    let layout = &place.layout;
    let entries = place.log.last_of_each(&layout.states(handler), Part::Headers, limit).await?;
    if entries.is_empty() {
        place.expect(slice::from_ref(handler)).await?;
    }
    let is_cut = entries.len() >= limit;
    let mut keys: Vec<(String, _, _)> = entries
        .into_iter()
        .filter(|entry| entry.headers.get(state::DELETED_HEADER).is_none())
        .filter_map(|entry| Some((layout.state_key(handler, &entry.subject)?, entry.position, entry.time)))
        .filter(|(key, ..)| key.starts_with(prefix))
        .collect();
    keys.sort();
    match general.output {
        Output::Json => {
            let keys = keys
                .iter()
                .map(|(key, position, time)| json!({ "key": key, "position": position, "time": time }));
            output::json(&keys.collect::<Vec<_>>())?;
        }
        Output::Text if keys.is_empty() => say!("no keys")?,
        Output::Text => {
            let mut table = output::table(&["key", "position", "written"]);
            for (key, position, time) in &keys {
                table.add_row([output::line(key), position.to_string(), format!("{time:.0}")]);
            }
            say!("{table}")?;
        }
    }
    if is_cut {
        let keys = if limit == 1 { "1 key was".to_owned() } else { format!("{limit} keys were") };
        anstream::eprintln!("only {keys} read: raise --limit to see the others");
    }
    Ok(ExitCode::SUCCESS)
}
