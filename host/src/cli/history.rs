//! `waxwing history`: the history of an aggregate, an audit trail.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use waxwing_engine::{
    entry::aggregate,
    history::{self, MAX_EVENTS},
    port::{
        invoke::{HistoryError, HistoryStart, StateUnavailable, StateView},
        log::Entry,
    },
};
use waxwing_event::{AppName, Event, HandlerName, HandlerSpec, Outcome, Position, Subject};

use super::{
    General, logging,
    output::{self, Output, say},
    place::Place,
    stage::Stage,
    style::{DIM, END, NAME},
};

/// Shows the history of an aggregate: each event, when it happened and what caused it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing history account 42\n  \
    waxwing history order o-1 --output json")]
pub(super) struct History {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// The handler
    handler: HandlerName,
    /// The aggregate
    id: String,
}

impl History {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        let (_, subject) = subject(&place, &self.handler, &self.id)?;
        let entries = read(&place, &subject).await?;
        if entries.is_empty() {
            bail!("{}", nothing(&self.id, &subject));
        }
        match general.output {
            Output::Json => output::json(&entries.iter().map(as_json).collect::<Vec<_>>())?,
            Output::Text => entries.iter().try_for_each(show)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What the manifest says of the handler, and where the history of this aggregate stands.
fn subject<'p>(place: &'p Place, handler: &HandlerName, id: &str) -> Result<(&'p HandlerSpec, Subject)> {
    if id.is_empty() {
        bail!("the id of an aggregate must not be empty");
    }
    if place.manifest.is_none() {
        bail!("histories need the app's manifest: go to its folder, or name it with --manifest");
    }
    let Some(spec) = place.spec(handler) else {
        bail!("the manifest has no handler `{handler}`: list its handlers with `waxwing ls`");
    };
    let Some(subjects) = &spec.aggregate else {
        bail!(
            "handler `{handler}` keeps no histories: the manifest gives it no `aggregate`. Of its state only the \
             last values are kept: see `waxwing state get {handler} KEY`"
        );
    };
    Ok((spec, aggregate::subject(subjects, id)))
}

fn nothing(id: &str, subject: &Subject) -> String {
    format!("nothing has happened to `{id}`: there is no event on `{subject}`")
}

async fn read(place: &Place, subject: &Subject) -> Result<Vec<Entry>> {
    let until = place.log.last(subject).await?.map_or(Position::NONE, |last| last.position);
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(Position::NONE, |last| last.position);
        let more = history::read(place.log.as_ref(), subject, after, until).await?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more);
    }
}

fn as_json(entry: &Entry) -> Value {
    let event = history::event(entry);
    let data = event.as_ref().map_or(&entry.payload, |event| &event.data);
    let data = if data.is_empty() { Value::Null } else { output::data(data) };
    let event = event.ok();
    json!({
        "position": entry.position,
        "written": entry.time,
        "type": event.as_ref().map(|event| &event.event_type),
        "time": event.as_ref().and_then(|event| event.time.as_ref()),
        "id": event.as_ref().map(|event| &event.id),
        "causationId": event.as_ref().and_then(|event| event.causation_id.as_ref()),
        "correlationId": event.as_ref().map(|event| &event.correlation_id),
        "data": data,
    })
}

fn show(entry: &Entry) -> Result<()> {
    let (position, time) = (entry.position, entry.time);
    match history::event(entry) {
        Ok(event) => {
            let event_type = output::line(&event.event_type);
            let data =
                if event.data.is_empty() { String::new() } else { format!("{} ", output::data(&event.data)) };
            let cause = output::line(event.causation_id.as_deref().unwrap_or("nothing"));
            say!("{position} {DIM}{time}{END} {NAME}{event_type}{END} {data}{DIM}caused by {cause}{END}")?;
        }
        Err(error) => say!("{position} {DIM}{time}{END} {}", output::line(&error.to_string()))?,
    }
    Ok(())
}

/// Up to where a history is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// What the log had at this time.
    Time(Timestamp),
    /// What stands up to and with this position.
    Position(Position),
}

impl Until {
    fn takes(self, entry: &Entry) -> bool {
        match self {
            Until::Time(time) => entry.time <= time,
            Until::Position(position) => entry.position <= position,
        }
    }
}

/// What an aggregate was.
pub(super) struct Was {
    pub(super) value: Bytes,
    /// The last event that had happened to it.
    pub(super) position: Position,
    pub(super) time: Timestamp,
    pub(super) events: usize,
}

/// What an aggregate was at some time, as the handler's module understands its events.
pub(super) async fn state_at(
    place: &Place,
    handler: &HandlerName,
    id: &str,
    until: Until,
    general: &General,
) -> Result<Was> {
    let (spec, subject) = subject(place, handler, id)?;
    let mut entries = read(place, &subject).await?;
    let all = entries.len();
    entries.truncate(entries.partition_point(|entry| until.takes(entry)));
    let Some((position, time)) = entries.last().map(|last| (last.position, last.time)) else {
        if all == 0 {
            bail!("{}", nothing(id, &subject));
        }
        bail!("nothing had happened to `{id}` by then: see `waxwing history {handler} {id}`");
    };
    logging::begin(general, logging::Level::Usual);
    let events = entries.iter().map(history::event).collect::<Result<Vec<_>, _>>()?;
    let stage = Stage::set(place.manifest.as_ref(), handler, "to know what an aggregate was", general)?;
    let question = Arc::new(aggregate::question(&place.layout, &spec.name, id));
    let (events_count, past) = (events.len(), Arc::new(Past { events }));
    let reply = match stage.run(question, past, true).await? {
        Outcome::Done(effects) => effects.reply,
        Outcome::Failed(failure) => bail!(
            "handler `{handler}` could not say what `{id}` was: {failure}. (Where its function does not name the \
             aggregate yet: `#[waxwing_sdk::handler(aggregate = …)]`)"
        ),
    };
    match reply {
        Some(reply) => Ok(Was { value: reply.data, position, time, events: events_count }),
        None => bail!(
            "handler `{handler}` did not say what `{id}` was: its function must name the aggregate, \
             `#[waxwing_sdk::handler(aggregate = …)]`"
        ),
    }
}

/// A history up to some time, and nothing else.
struct Past {
    events: Vec<Event>,
}

#[async_trait]
impl StateView for Past {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        Err(StateUnavailable(format!("what `{key}` was is not known: only histories are kept")))
    }

    async fn keys(&self, _prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        Err(StateUnavailable("which keys there were is not known: only histories are kept".to_owned()))
    }

    async fn load_history(&self, _id: &str) -> Result<HistoryStart, HistoryError> {
        Ok(HistoryStart { snapshot: None, after: Position::NONE })
    }

    async fn read_history(&self, _id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        let behind = self.events.iter().filter(|event| event.position > after);
        Ok(behind.take(MAX_EVENTS).cloned().collect())
    }
}
