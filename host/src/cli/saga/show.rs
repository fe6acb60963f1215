//! `waxwing saga show`.

use std::{process::ExitCode, slice};

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use waxwing_event::HandlerName;

use super::{
    super::{
        General,
        listed::MAX_SEARCHED,
        output::{self, Output, say},
        place::Place,
        style::{END, NAME, TITLE},
        timer::Timer,
    },
    instance::Instance,
    record::{Cause, Happened},
};

/// Shows one saga: its steps, its data, what has happened to it, what waits, its timers
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing saga show purchase order-4711\n  \
    waxwing saga show purchase order-4711 --output json")]
pub(super) struct Show {
    /// The handler
    handler: HandlerName,
    /// The key
    key: String,
}

/// An instance with all that belongs to it.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    instance: Instance,
    trail: Vec<Happened>,
    timers: Vec<Timer>,
}

impl Show {
    pub(super) async fn execute(&self, place: &Place, general: &General) -> Result<ExitCode> {
        let Show { handler, key } = self;
        let Some(instance) = Instance::find(place, handler, key).await? else {
            place.expect(slice::from_ref(handler)).await?;
            bail!("handler `{handler}` has no saga `{key}`: list its sagas with `waxwing saga ls {handler}`");
        };
        let trail = instance.trail(place).await?;
        let whole = Whole { timers: timers(place, &instance).await?, instance, trail };
        match general.output {
            Output::Json => output::json(&whole)?,
            Output::Text => show(&whole)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The timers that runs of this key have set.
async fn timers(place: &Place, instance: &Instance) -> Result<Vec<Timer>> {
    let listed = Timer::all(place, Some(&instance.handler), MAX_SEARCHED).await?;
    let timers = listed.items.into_iter().map(|item| item.what);
    Ok(timers.filter(|timer| timer.key.as_ref() == Some(&instance.key)).collect())
}

fn show(whole: &Whole) -> Result<()> {
    let Instance { handler, key, record, written, position, waiting } = &whole.instance;
    say!("{TITLE}{}{END} is {}, {NAME}{handler}{END}", output::line(key), output::line(&record.status))?;
    if let Some(reason) = &record.reason {
        output::field("reason", &output::lines(reason))?;
    }
    if let Some(step) = &record.step {
        output::field("at", &output::line(step))?;
    }
    if let Some(started) = &record.started {
        output::field("started", &output::line(started))?;
    }
    output::field("written", &format!("{written}, at position {position}"))?;
    for (name, state) in &record.steps.0 {
        output::field("step", &output::line(&format!("{name}: {state}")))?;
    }
    if !record.data.is_null() {
        output::field("data", &output::line(&record.data.to_string()))?;
    }
    for Happened { time, event, what } in &whole.trail {
        let time = time.as_deref().unwrap_or_default();
        output::field("trail", &output::line(&format!("{time} {what}, by {}", named(event))))?;
    }
    for event in waiting {
        let time = event.time.as_deref().map(|time| format!(", of {time}")).unwrap_or_default();
        output::field("waits", &output::line(&format!("{}{time}", named(event))))?;
    }
    let now = Timestamp::now();
    for timer in &whole.timers {
        output::field("timer", &format!("{}: {}", output::line(&timer.id), timer.when(now)))?;
    }
    Ok(())
}

fn named(event: &Cause) -> String {
    format!("{} {}", event.event_type, event.id)
}
