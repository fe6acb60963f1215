//! `waxwing dead redrive --dry-run`: runs dead letters without writing anything.

use std::{num::NonZeroUsize, process::ExitCode, sync::Arc};

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;
use waxwing_engine::{
    cache::StateCache,
    entry::{DeadLetter, dead},
    inputs::Inputs,
    port::{clock::SystemClock, invoke::StateView},
    source,
};
use waxwing_event::{
    Digest, Effects, Failure, HandlerName, Outcome, Position, Subject, outcome::FailureKind,
};

use super::letter::Shelf;
use crate::{
    assemble,
    cli::{
        General, found,
        listed::Item,
        logging,
        output::{self, Output, say},
        place::Place,
        stage::Stage,
        style::{BAD, DIM, END, GOOD, NAME},
    },
};

/// Bytes of state that are kept in memory.
const CACHE_BYTES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(64 << 20);

/// What a letter would do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rehearsal {
    handler: HandlerName,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    module: Digest,
    #[serde(flatten)]
    end: End,
}

/// How its run ended.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
enum End {
    /// It would have these effects.
    Done { emits: Vec<Emitted>, state: Vec<Change> },
    /// It would fail again.
    Failed {
        kind: FailureKind,
        reason: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        backtrace: Option<String>,
    },
}

/// An event that it would emit.
#[derive(Debug, Serialize)]
struct Emitted {
    subject: Subject,
    data: Value,
}

/// A state key that it would set or delete.
#[derive(Debug, Serialize)]
struct Change {
    key: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// A handler's module, and what its runs need.
struct Rehearsing {
    place: Place,
    stage: Stage,
    inputs: Inputs,
    state: Arc<StateCache>,
}

/// Runs each letter and shows what it would do.
pub(super) async fn execute(
    place: Place,
    handler: &HandlerName,
    letters: Vec<Item<dead::About>>,
    general: &General,
) -> Result<ExitCode> {
    logging::begin(general, logging::Level::Usual);
    let rehearsing = Rehearsing::set(place, handler, general).await?;
    let mut rehearsals = Vec::with_capacity(letters.len());
    for Item { what: about, .. } in letters {
        let letter = Shelf::Open.take(&rehearsing.place, handler, about.original.position).await?;
        // One that has gone meanwhile would do nothing.
        let Some((_, letter)) = letter else { continue };
        let rehearsal = rehearsing.rehearse(letter).await?;
        if general.output == Output::Text {
            rehearsal.show()?;
        }
        rehearsals.push(rehearsal);
    }
    if general.output == Output::Json {
        output::json(&rehearsals)?;
    }
    let is_fine = rehearsals.iter().all(|rehearsal| matches!(rehearsal.end, End::Done { .. }));
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Rehearsing {
    async fn set(place: Place, handler: &HandlerName, general: &General) -> Result<Rehearsing> {
        let stage = Stage::set(place.manifest.as_ref(), handler, "a dry run", general)?;
        let Some(manifest) = &place.manifest else { bail!("a dry run needs the app's manifest") };
        let outside = assemble::outside(&manifest.config, &found::target(general)?).await?;
        let inputs = Inputs::open(&place.log, &outside, &stage.spec).await?;
        let (log, layout) = (place.log.clone(), place.layout.clone());
        let state = StateCache::new(log, layout, &stage.spec, CACHE_BYTES);
        Ok(Rehearsing { place, stage, inputs, state: Arc::new(state) })
    }

    async fn rehearse(&self, letter: DeadLetter) -> Result<Rehearsal> {
        let DeadLetter { about, payload } = letter;
        let (inputs, original) = (self.inputs.entries.as_ref(), &about.original);
        let input =
            source::kept(inputs, &SystemClock, &self.stage.spec, original, payload, about.time).await?;
        let outcome = match input.event {
            Ok(event) => self.stage.run(event, self.state.view(self.stage.module.digest()), false).await?,
            Err(failure) => Outcome::Failed(failure),
        };
        let end = match outcome {
            Outcome::Done(effects) => self.done(effects).await?,
            Outcome::Failed(failure) if failure.kind == FailureKind::Unavailable => bail!(failure),
            Outcome::Failed(Failure { kind, reason, backtrace, .. }) => {
                End::Failed { kind, reason, backtrace }
            }
        };
        Ok(Rehearsal {
            handler: self.stage.spec.name.clone(),
            position: about.original.position,
            event_id: about.original.event_id,
            module: self.stage.module.digest(),
            end,
        })
    }

    async fn done(&self, effects: Effects) -> Result<End> {
        let emits = effects.emits.into_iter();
        let emits = emits.map(|emit| Emitted { subject: emit.subject, data: output::data(&emit.data) });
        let (view, mut state) =
            (self.state.view(self.stage.module.digest()), Vec::with_capacity(effects.state.len()));
        for (key, after) in effects.state {
            let before = view.get(&key).await?.map(|value| output::data(&value));
            let after = after.map(|value| output::data(&value));
            if before.is_some() || after.is_some() {
                state.push(Change { key, before, after });
            }
        }
        Ok(End::Done { emits: emits.collect(), state })
    }
}

impl Rehearsal {
    fn show(&self) -> Result<()> {
        let Rehearsal { handler, position, event_id, end, .. } = self;
        let id = output::line(event_id.as_deref().unwrap_or_default());
        say!("{NAME}{handler}{END} {position} {DIM}{id}{END}")?;
        match end {
            End::Failed { kind, reason, backtrace } => {
                say!("  {BAD}would fail again{END}: {kind}: {}", output::lines(reason))?;
                for line in backtrace.iter().flat_map(|trace| trace.lines()) {
                    say!("    {DIM}{}{END}", output::line(line))?;
                }
            }
            End::Done { emits, state } if emits.is_empty() && state.is_empty() => {
                say!("  {GOOD}would succeed{END} without any effect")?;
            }
            End::Done { emits, state } => {
                for Emitted { subject, data } in emits {
                    say!("  {GOOD}would emit{END} {subject} {data}")?;
                }
                for Change { key, before, after } in state {
                    let shown = |value: &Option<Value>| value.as_ref().map(Value::to_string);
                    let key = output::line(key);
                    let was = shown(before).map_or_else(|| "new".to_owned(), |was| format!("was {was}"));
                    match shown(after) {
                        Some(value) => say!("  {GOOD}would set{END} {key} to {value} {DIM}({was}){END}")?,
                        None => say!("  {GOOD}would delete{END} {key} {DIM}({was}){END}")?,
                    }
                }
            }
        }
        Ok(())
    }
}
