//! `waxwing pause`: handlers stop, on all hosts of the app.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::{Context, Result};
use clap::{ArgGroup, Args};
use jiff::Timestamp;
use serde::Serialize;
use waxwing_engine::{
    entry::{operator, tombstone},
    port::log::commit,
};
use waxwing_event::{AppName, HandlerName};

use super::{
    General,
    output::{self, Output, say},
    place::Place,
    style::{END, NAME},
};

/// Pauses handlers on all hosts of the app
///
/// What runs is finished, nothing new starts; events wait in the log. It holds until `waxwing resume`, also for
/// hosts that start later.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  waxwing pause basket\n  waxwing pause basket catalog\n  waxwing pause --all"
)]
pub(super) struct Pause {
    #[command(flatten)]
    which: Which,
}

/// Handlers that are named, or all.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("handlers").required(true).multiple(true))]
pub(super) struct Which {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    pub(super) app: Option<AppName>,
    /// The handlers
    #[arg(group = "handlers", conflicts_with = "all")]
    handler: Vec<HandlerName>,
    /// All handlers of the app
    #[arg(long, group = "handlers")]
    pub(super) all: bool,
}

/// What became of a handler.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    pub(super) handler: HandlerName,
    pub(super) paused: bool,
    /// False where it was so before.
    pub(super) changed: bool,
    /// Since when it is or was paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
}

impl Pause {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.which.app.as_ref(), general).await?;
        let handlers =
            if self.which.all { place.handlers().await? } else { self.which.named(&place).await? };
        let mut all = Vec::with_capacity(handlers.len());
        for handler in handlers {
            let since = paused_since(&place, &handler).await?;
            if since.is_none() {
                let entry = operator::pause(place.layout.paused(&handler), Timestamp::now());
                let paused = commit(place.log.as_ref(), vec![entry]).await;
                paused.with_context(|| format!("it is not known whether `{handler}` is paused"))?;
            }
            all.push(Changed { handler, paused: true, changed: since.is_none(), since });
        }
        tell(&all, general)
    }
}

impl Which {
    pub(super) async fn named(&self, place: &Place) -> Result<BTreeSet<HandlerName>> {
        place.expect(&self.handler).await?;
        Ok(self.handler.iter().cloned().collect())
    }
}

/// Since when a handler is paused; none where it is not.
pub(super) async fn paused_since(place: &Place, handler: &HandlerName) -> Result<Option<Timestamp>> {
    let entry = place.log.last(&place.layout.paused(handler)).await?;
    Ok(entry.filter(|entry| !tombstone::is(entry)).map(|entry| entry.time))
}

/// Says what became of each handler.
pub(super) fn tell(all: &[Changed], general: &General) -> Result<ExitCode> {
    if general.output == Output::Json {
        output::json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        say!("no handler is paused")?;
    }
    for Changed { handler, paused, changed, since } in all {
        let since = since.map(|since| format!("{since:.0}")).unwrap_or_default();
        let what = match (paused, changed) {
            (true, true) => "paused".to_owned(),
            (true, false) => format!("was paused already, since {since}"),
            (false, true) => format!("resumed, was paused since {since}"),
            (false, false) => "was not paused".to_owned(),
        };
        say!("{NAME}{handler}{END}: {what}")?;
    }
    Ok(ExitCode::SUCCESS)
}
