//! `waxwing replay`: runs a handler's history again, and shows what would be otherwise.

mod memory;
mod past;
mod report;
mod told;
mod written;

use std::{collections::BTreeMap, mem::take, num::NonZeroUsize, process::ExitCode, sync::Arc};

use anyhow::{Result, bail};
use bytes::Bytes;
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use waxwing_engine::{
    entry::state,
    history,
    port::log::{Entry, Part},
    source::Input,
};
use waxwing_event::{AppName, Effects, Failure, HandlerName, Outcome, outcome::FailureKind};

use self::{
    memory::Memory,
    past::{Past, Written},
    report::{Compared, Differing, Report, Verdict},
    told::Told,
};
use super::{
    General, found, logging,
    output::{self, Output},
    place::Place,
    stage::Stage,
    time,
};
use crate::capture::turns::{Turn, turns, without_duplicates};

/// The most state keys that are compared.
const MAX_KEYS: usize = 100_000;

/// Runs a handler's events again, without any effect, and shows what its present module would do otherwise
///
/// The events run in the order in which they were handled, as far as that is known, on a state that begins empty and is
/// kept in memory. What they emit is compared with what was emitted then; nothing is written, or with --commit the state
/// alone, beside the live one. Events of timers and
/// requests are not in the log: of what they did, only histories of aggregates are known. Events that were not handled yet
/// are left out. Exits with 1 where something differs, or fails that did not fail then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing replay basket\n  \
    waxwing replay basket --since 2026-11-20T10:00:00Z --key tea\n  \
    waxwing replay basket --to 2026-11-20T10:00:00Z --commit\n  \
    waxwing replay account --from-seq 500 --to-seq 900 --output json")]
pub(super) struct Replay {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// The handler
    handler: HandlerName,
    /// Compare from this time on: RFC 3339. Events before it run too, for what they make of the state
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<Timestamp>,
    /// Compare from this position on
    #[arg(long, value_name = "POSITION", conflicts_with = "since")]
    from_seq: Option<u64>,
    /// End at this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    to: Option<Timestamp>,
    /// End at this position
    #[arg(long, value_name = "POSITION", conflicts_with = "to")]
    to_seq: Option<u64>,
    /// Only events of this key
    #[arg(long)]
    key: Option<String>,
    /// Show events whose effects are the same, too
    #[arg(long)]
    all: bool,
    /// Write the state that comes out as a generation of its own, beside the live one: to be looked at with
    /// `waxwing state ls --generation`
    #[arg(long)]
    commit: bool,
    /// The most events to run
    #[arg(long, value_name = "NUMBER", default_value = "100000")]
    limit: NonZeroUsize,
}

impl Replay {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        logging::begin(general, logging::Level::Usual);
        let stage = Stage::set(place.manifest.as_ref(), &self.handler, "a replay", general)?;
        if stage.spec.on.is_empty() {
            bail!("handler `{}` hears no events of a log (`on`): there is nothing to replay", self.handler);
        }
        self.check_range()?;
        if self.commit {
            written::check(&place, &self.handler).await?;
        }
        let past = Past::open(&place, &stage.spec, &found::target(general)?).await?;
        let (inputs, is_cut) = past.inputs(self.limit.get(), |entry| self.ends_before(entry)).await?;
        let inputs = inputs
            .into_iter()
            .filter(|input| self.key.is_none() || input.key.as_deref() == self.key.as_deref());
        let inputs: Vec<Input> = inputs.collect();
        let mut written = past.written(&inputs).await?;
        let count = inputs.len();
        let inputs: Vec<Input> =
            inputs.into_iter().filter(|input| written.has_handled(input.entry.position)).collect();
        let not_handled = count - inputs.len();
        let (first, elsewhere) = (take(&mut written.first), take(&mut written.elsewhere));
        let turns = without_duplicates(turns(inputs, &stage.spec, &first), &stage.spec, &first);
        let mut elsewhere = elsewhere.into_iter().peekable();
        let memory = Arc::new(Memory::default());
        let mut report = Report::new(&self.handler, stage.module.digest(), not_handled);
        for Turn { position: turn, input } in turns {
            while let Some((id, other)) = elsewhere.next_if(|(_, other)| other.position < turn) {
                // What cannot be read is no event of the history's.
                history::event(&other).into_iter().for_each(|event| memory.append(id.clone(), event));
            }
            let counts = self.compares(&input.entry);
            let compared = self.replay(&stage, &memory, input, &mut written).await?;
            if !counts {
                continue;
            }
            report.count(&compared);
            if self.all || compared.result != Verdict::Same {
                if general.output == Output::Text {
                    compared.show()?;
                }
                report.compared.push(compared);
            }
        }
        if self.is_whole() && !is_cut {
            report.differing_keys = Some(self.differing_keys(&place, &memory).await?);
        }
        if self.commit {
            report.generation = Some(written::commit(&place, &stage, memory.state()).await?);
        }
        match general.output {
            Output::Json => output::json(&report)?,
            Output::Text => report.show()?,
        }
        Ok(if report.is_same() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs an event on what the replay has made so far.
    async fn replay(
        &self,
        stage: &Stage,
        memory: &Arc<Memory>,
        input: Input,
        written: &mut Written,
    ) -> Result<Compared> {
        let position = input.entry.position;
        let key = input.key.as_deref().map(str::to_owned);
        let event_id = input.event.as_ref().ok().map(|event| event.id.clone());
        let outcome = match input.event {
            Ok(event) => stage.run(event, memory.clone(), false).await?,
            Err(failure) => Outcome::Failed(failure),
        };
        let then = written.told.remove(&position).unwrap_or_default();
        let (now, failure) = match outcome {
            Outcome::Done(effects) => (self.take(stage, memory, effects), None),
            Outcome::Failed(failure) if failure.kind == FailureKind::Unavailable => bail!(failure),
            Outcome::Failed(failure) => (Vec::new(), Some(failure)),
        };
        let result = match &failure {
            Some(_) if written.dead.contains(&position) => Verdict::Same,
            Some(_) => Verdict::Failed,
            None if then == now => Verdict::Same,
            None => Verdict::Different,
        };
        let failure = failure.map(|Failure { kind, reason, .. }| format!("{kind}: {reason}"));
        Ok(Compared { position, event_id, key, result, then, now, failure })
    }

    /// Keeps what a run did, and tells what it emitted into the log.
    fn take(&self, stage: &Stage, memory: &Memory, effects: Effects) -> Vec<Told> {
        let emits = effects.emits.iter();
        let told = emits.filter_map(|emit| Told::now(emit, &stage.spec)).collect();
        memory.take(effects);
        told
    }

    fn check_range(&self) -> Result<()> {
        let is_turned = self.since.zip(self.to).is_some_and(|(since, to)| since > to)
            || self.from_seq.zip(self.to_seq).is_some_and(|(from, to)| from > to);
        if is_turned {
            bail!("the replay would end before it begins: exchange the two");
        }
        Ok(())
    }

    fn compares(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since)
            && self.from_seq.is_none_or(|from| entry.position.0 >= from)
    }

    fn ends_before(&self, entry: &Entry) -> bool {
        self.to.is_some_and(|to| entry.time > to) || self.to_seq.is_some_and(|to| entry.position.0 > to)
    }

    fn is_whole(&self) -> bool {
        self.to.is_none() && self.to_seq.is_none() && self.key.is_none()
    }

    async fn differing_keys(&self, place: &Place, memory: &Memory) -> Result<Vec<Differing>> {
        let states = place.layout.states(&self.handler);
        let entries = place.log.last_of_each(&states, Part::Whole, MAX_KEYS).await?;
        let mut present: BTreeMap<String, Bytes> = BTreeMap::new();
        for entry in entries {
            let Some(key) = place.layout.state_key(&self.handler, &entry.subject) else { continue };
            present.extend(state::value(entry).map(|value| (key, value)));
        }
        let differing = memory.differing(&present).into_iter().map(|(key, now)| {
            let present = present.get(&key).map(value);
            Differing { key, present, now: now.as_ref().map(value) }
        });
        Ok(differing.collect())
    }
}

/// Data as it is compared; null where there is none.
fn value(data: &Bytes) -> Value {
    if data.is_empty() { Value::Null } else { output::data(data) }
}
