//! Runs a handler's past again, up to the events that are wanted, and takes note of what their runs read.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::runtime::Handle;
use waxwing_engine::{
    entry::{Layout, Mark, aggregate, state, timer},
    history,
    port::{
        Log,
        invoke::{HistoryError, HistoryStart, StateUnavailable, StateView},
        log::Entry,
    },
    source::Input,
};
use waxwing_event::{
    Due, Event, HandlerName, NewTimer, Outcome, Pattern, Position, TimerChange, outcome::FailureKind,
};

use super::{
    again,
    bench::{Bench, Ran},
    form::{Came, Capture, FORMAT, HistoryRecord, Moment, MomentFrom, StateRecord, ValueFrom, ValueRecord},
    past::Past,
    recollection::Recollection,
    record::{Data, EntryRecord, EventRecord},
    turns::{Turn, turns, without_duplicates},
};

/// How far a host's clock may be from the log's, a run's commit included.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Where the past is.
pub struct Recall<'a> {
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// Where things stand in it, of the generations that are live.
    pub layout: &'a Layout,
    /// What the log keeps of the app.
    pub events: &'a [Pattern],
    /// What the manifest says of the handler, its module apart.
    pub table: &'a serde_json::Value,
    /// The handler's module.
    pub bench: &'a Bench,
}

impl Recall<'_> {
    /// Captures these events, in the order in which they ran.
    pub async fn captures(&self, mut past: Past, wanted: &BTreeSet<Position>) -> Result<Vec<Capture>> {
        let spec = &self.bench.spec;
        let firsts = past.firsts();
        let inputs = take(&mut past.inputs);
        let turns = without_duplicates(turns(inputs, spec, &firsts), spec, &firsts);
        let mut elsewhere = take(&mut past.elsewhere).into_iter().peekable();
        let made = Arc::new(Recollection::default());
        let (mut captures, mut strayed) = (Vec::new(), 0);
        for Turn { position: turn, input } in turns {
            if captures.len() == wanted.len() {
                break;
            }
            while let Some((id, entry)) = elsewhere.next_if(|(_, entry)| entry.position < turn) {
                // What cannot be read is no event of the history's.
                history::event(&entry).into_iter().for_each(|event| made.append(id.clone(), event));
            }
            let position = input.entry.position;
            let written = past.written.remove(&position).unwrap_or_default();
            let now = self.moment(&made, &input, &written).await?;
            if wanted.contains(&position) {
                let came = came(&past, position, &written);
                let mut capture =
                    self.capture(&made, &input, (now, firsts.get(&position).copied()), came).await?;
                capture.notes = notes(&past, strayed, &capture);
                captures.push(capture);
            }
            strayed += usize::from(!self.go_on(&made, input, now.time, &past, written).await?);
        }
        Ok(captures)
    }

    /// What time it was for a run. Where it emitted nothing and set a timer, that tells: when it was due, less the while that
    /// the run asks for.
    async fn moment(
        &self,
        made: &Arc<Recollection>,
        input: &Input,
        written: &[(Mark, Entry)],
    ) -> Result<Moment> {
        let about = moment(input, written);
        let timers: BTreeMap<String, Timestamp> =
            written.iter().filter_map(|(_, entry)| self.timer(entry)).collect();
        let (MomentFrom::Log, false, Ok(event)) = (about.from, timers.is_empty(), &input.event) else {
            return Ok(about);
        };
        let Ran { outcome, .. } = self.bench.run(event.clone(), made.clone(), about.time).await?;
        let Outcome::Done(effects) = outcome else { return Ok(about) };
        let exact = effects.timers.into_iter().find_map(|(id, change)| match change {
            TimerChange::Set(NewTimer { due: Due::After(wait), .. }) => {
                timers.get(&id)?.checked_sub(wait).ok()
            }
            TimerChange::Set(_) | TimerChange::Cancel => None,
        });
        // One that asks for another while than then tells nothing.
        let exact = exact.filter(|time| about.time.duration_since(*time).unsigned_abs() <= CLOCKS_DIFFER);
        Ok(exact.map_or(about, |time| Moment { time, from: MomentFrom::Timer }))
    }

    /// The timer that an entry sets, and when that is due.
    fn timer(&self, entry: &Entry) -> Option<(String, Timestamp)> {
        let id = self.layout.timer_id(&self.bench.spec.name, &entry.subject)?;
        Some((id, timer::About::read(entry).ok()?.due))
    }

    /// Runs an event for what it makes of the state; false where it does not do what it did then.
    async fn go_on(
        &self,
        made: &Arc<Recollection>,
        input: Input,
        now: Timestamp,
        past: &Past,
        written: Vec<(Mark, Entry)>,
    ) -> Result<bool> {
        let position = input.entry.position;
        if past.dead.contains_key(&position) || past.parked.contains(&position) {
            return Ok(true);
        }
        let Ok(event) = input.event else { return Ok(true) };
        let timers = made.timers();
        let Ran { outcome, .. } = self.bench.run(event.clone(), made.clone(), now).await?;
        let subjects = self.bench.spec.aggregate.as_ref();
        for (_, entry) in &written {
            if let Some(id) = subjects.and_then(|subjects| aggregate::id(subjects, &entry.subject)) {
                history::event(entry).into_iter().for_each(|event| made.append(id.clone(), event));
            }
        }
        let is_same = match outcome {
            Outcome::Failed(failure) if failure.kind == FailureKind::Unavailable => bail!(failure),
            Outcome::Failed(_) => written.is_empty(),
            Outcome::Done(effects) => {
                let again = again::entries(
                    self.layout,
                    &self.bench.spec,
                    self.bench.digest(),
                    &event,
                    effects.clone(),
                    (now, &timers),
                );
                // A snapshot holds what its own run has appended, too.
                made.take(&effects);
                let recorded: Vec<EntryRecord> =
                    written.iter().map(|(mark, entry)| EntryRecord::of(mark.index, entry)).collect();
                again::differences(&recorded, &again, &self.bench.spec, self.layout).is_empty()
            }
        };
        Ok(is_same)
    }

    async fn capture(
        &self,
        made: &Arc<Recollection>,
        input: &Input,
        (now, first): (Moment, Option<Position>),
        came: Came,
    ) -> Result<Capture> {
        let spec = &self.bench.spec;
        let event = match &input.event {
            Ok(event) => event.clone(),
            Err(failure) => {
                bail!("the event at position {} cannot be decoded: {}", input.entry.position, failure.reason)
            }
        };
        let view = Arc::new(Then {
            made: made.clone(),
            log: self.log.clone(),
            layout: self.layout.clone(),
            handler: spec.name.clone(),
            // What stands there since before was read, or something else that was replaced since.
            before: first.unwrap_or(input.entry.position),
            runtime: Handle::current(),
            read: Mutex::default(),
        });
        let timers = made.timers();
        self.bench.run(event.clone(), view.clone(), now.time).await?;
        let Read { state, histories } = view.read().clone();
        Ok(Capture {
            format: FORMAT.to_owned(),
            app: self.layout.app().clone(),
            events: self.events.to_vec(),
            handler: spec.name.clone(),
            table: self.table.clone(),
            module: self.bench.digest(),
            event: EventRecord::of(&event),
            now,
            state,
            histories,
            timers,
            secrets: spec.grants.secrets.clone(),
            came,
            notes: Vec::new(),
        })
    }
}

/// What the log tells about the time of a run.
fn moment(input: &Input, written: &[(Mark, Entry)]) -> Moment {
    let is_emitted = |entry: &&Entry| entry.headers.get("wx-timer").is_none();
    let emitted = written.iter().map(|(_, entry)| entry).filter(is_emitted);
    let said = emitted.clone().find_map(|entry| entry.headers.get("ce-time")?.parse().ok());
    let stored = written.iter().map(|(_, entry)| entry.time).min();
    match (said, stored) {
        (Some(time), _) => Moment { time, from: MomentFrom::Commit },
        (None, Some(time)) => Moment { time, from: MomentFrom::Log },
        (None, None) => Moment { time: input.entry.time, from: MomentFrom::Event },
    }
}

fn came(past: &Past, input: Position, written: &[(Mark, Entry)]) -> Came {
    if let Some(about) = past.dead.get(&input) {
        return Came::Dead { kind: about.kind, reason: about.reason.clone() };
    }
    if past.parked.contains(&input) {
        return Came::Parked;
    }
    let written = written.iter().map(|(mark, entry)| EntryRecord::of(mark.index, entry)).collect();
    Came::Done { written }
}

/// What is not exact in a capture.
fn notes(past: &Past, strayed: usize, capture: &Capture) -> Vec<String> {
    let mut notes = Vec::new();
    let replayed = capture.state.values.values().filter(|value| value.from == ValueFrom::Replay).count();
    if replayed > 0 && past.first > Position::NONE.next() {
        notes.push(format!("the log begins at position {}: what was before is not known", past.first));
    }
    if replayed > 0 && strayed > 0 {
        notes.push(format!(
            "{strayed} of the events before did something else when they ran again: values from the replay may not be those of then"
        ));
    }
    if replayed > 0 && past.others > 0 {
        notes.push(format!(
            "{} runs were of timers, requests or live messages: what they did to the state is in no value from the replay",
            past.others
        ));
    }
    if !capture.state.keys.is_empty() {
        notes.push("lists of keys are from the replay".to_owned());
    }
    if matches!(capture.now.from, MomentFrom::Log | MomentFrom::Event) {
        notes.push("what time it was is known about: nothing that the run left tells it".to_owned());
    }
    if capture.table.pointer("/grants/http").is_some() {
        notes.push("answers of HTTP calls are not recorded: calls are refused".to_owned());
    }
    if !capture.secrets.is_empty() {
        notes.push("values of secrets are not recorded: they are those of the machine".to_owned());
    }
    notes
}

/// What a run read.
#[derive(Debug, Clone, Default)]
struct Read {
    state: StateRecord,
    histories: BTreeMap<String, HistoryRecord>,
}

/// The state as it was when a run read it, which keeps what it gives.
struct Then {
    made: Arc<Recollection>,
    log: Arc<dyn Log>,
    layout: Layout,
    handler: HandlerName,
    before: Position,
    runtime: Handle,
    read: Mutex<Read>,
}

impl Then {
    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a key, as it stands now.
    async fn standing(&self, key: &str) -> Result<Option<Entry>, StateUnavailable> {
        let (log, subject) = (self.log.clone(), self.layout.state(&self.handler, key));
        // Guests run on threads without a runtime.
        let looked = self.runtime.spawn(async move { log.last(&subject).await }).await;
        let unavailable = |error: String| StateUnavailable(error);
        looked
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| unavailable(error.to_string()))
    }
}

#[async_trait]
impl StateView for Then {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StateUnavailable> {
        let standing = self.standing(key).await?.filter(|entry| entry.position < self.before);
        let (value, from) = match standing {
            Some(entry) => (state::value(entry), ValueFrom::Log),
            None => (self.made.get(key).await?, ValueFrom::Replay),
        };
        let record = ValueRecord { data: value.as_deref().map(Data::of), from };
        self.read().state.values.insert(key.to_owned(), record);
        Ok(value)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StateUnavailable> {
        let keys = self.made.keys(prefix).await?;
        self.read().state.keys.insert(prefix.to_owned(), keys.clone());
        Ok(keys)
    }

    async fn load_history(&self, id: &str) -> Result<HistoryStart, HistoryError> {
        let start = self.made.load_history(id).await?;
        let mut read = self.read();
        let history = read.histories.entry(id.to_owned()).or_default();
        (history.snapshot, history.after) = (start.snapshot.as_deref().map(Data::of), start.after);
        Ok(start)
    }

    async fn read_history(&self, id: &str, after: Position) -> Result<Vec<Event>, HistoryError> {
        let events = self.made.read_history(id, after).await?;
        let mut read = self.read();
        let history = read.histories.entry(id.to_owned()).or_default();
        let last = history.events.last().map_or(Position::NONE, EventRecord::position);
        history.events.extend(events.iter().filter(|event| event.position > last).map(EventRecord::of));
        Ok(events)
    }
}
