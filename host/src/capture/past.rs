//! What a handler has heard and written, as the app's log tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;
use waxwing_engine::{
    entry::{Checkpoint, DeadLetter, Layout, Mark, aggregate, dead, tombstone},
    port::{
        Log,
        log::{Entry, Part},
    },
    source::{self, Input},
};
use waxwing_event::{HandlerSpec, Pattern, Position, Subject, decode};

/// How long an entry that is there is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Entries that are read at a time.
const CHUNK: usize = 1000;

/// The most subjects that are looked at.
const MAX_SUBJECTS: usize = 1_000_000;

/// A handler's past.
pub struct Past {
    /// Its inputs that were handled, or are parked or dead, in the order of the log.
    pub inputs: Vec<Input>,
    /// What is left of what each input has written.
    pub written: BTreeMap<Position, Vec<(Mark, Entry)>>,
    /// What histories hold that no input has written: by requests, by timers, by other programs; with the aggregate.
    pub elsewhere: Vec<(String, Entry)>,
    /// Dead letters by their inputs.
    pub dead: BTreeMap<Position, dead::About>,
    /// Inputs that wait for an attempt.
    pub parked: BTreeSet<Position>,
    /// The first position that is still in the log.
    pub first: Position,
    /// How many runs have written something that were not of an event of the log.
    pub others: usize,
}

impl Past {
    /// Reads all of it. `events` is what the log keeps of the app.
    pub async fn read(
        log: &dyn Log,
        layout: &Layout,
        events: &[Pattern],
        spec: &HandlerSpec,
    ) -> Result<Past> {
        let name = &spec.name;
        ensure!(
            spec.stream.is_none(),
            "handler `{name}` reads a stream that the app does not own: of its events nothing can be captured yet"
        );
        ensure!(
            !spec.on.is_empty(),
            "handler `{name}` hears no events of the log (`on`): there is nothing to capture"
        );
        let mut reading = Reading::new(layout, spec);
        let own = [
            layout.states(name),
            layout.timers(Some(name)),
            layout.outboxes(Some(name)),
            layout.dead_letters(Some(name)),
            layout.all_archived(Some(name)),
            layout.all_parked(Some(name)),
        ];
        let patterns: Vec<Pattern> = events.iter().cloned().chain(own).collect();
        for entry in entries(log, &patterns, Part::Whole).await? {
            reading.take(entry)?;
        }
        let mut behind = None;
        for partition in layout.partitions(name) {
            let entry = log.last(&layout.checkpoint(name, partition)).await?;
            let checkpoint = entry.map(|entry| Checkpoint::read(&entry)).transpose()?.unwrap_or_default();
            behind = Some(
                behind.map_or(checkpoint.watermark, |behind: Position| behind.min(checkpoint.watermark)),
            );
            reading.above.extend(checkpoint.handled);
        }
        reading.watermark = reading.watermark.max(behind.unwrap_or_default());
        Ok(reading.end(log.bounds().await?.first))
    }

    /// The events of this id, or at this position.
    pub fn find(&self, wanted: &str) -> Vec<Position> {
        let is_wanted = |input: &&Input| {
            wanted.parse() == Ok(input.entry.position.0)
                || decode::id_in(&input.entry.headers).as_deref() == Some(wanted)
                || input.event.as_ref().is_ok_and(|event| event.id == wanted)
        };
        self.inputs.iter().filter(is_wanted).map(|input| input.entry.position).collect()
    }

    /// The first entry of what each input has written.
    pub fn firsts(&self) -> BTreeMap<Position, Position> {
        let first = |(input, entries): (&Position, &Vec<(Mark, Entry)>)| {
            Some((*input, entries.iter().map(|(_, entry)| entry.position).min()?))
        };
        self.written.iter().filter_map(first).collect()
    }
}

/// The subjects of events of this id, or at this position: where nobody has said which handler is meant.
pub async fn subjects_of(log: &dyn Log, events: &[Pattern], wanted: &str) -> Result<BTreeSet<Subject>> {
    let is_wanted = |entry: &Entry| {
        wanted.parse() == Ok(entry.position.0)
            || decode::id_in(&entry.headers).as_deref() == Some(wanted)
            || entry.headers.get("Nats-Msg-Id") == Some(wanted)
    };
    let all = entries(log, events, Part::Headers).await?;
    Ok(all.into_iter().filter(is_wanted).map(|entry| entry.subject).collect())
}

/// All entries of these subjects that are there now.
async fn entries(log: &dyn Log, patterns: &[Pattern], part: Part) -> Result<Vec<Entry>> {
    let mut last = Position::NONE;
    for pattern in patterns {
        let newest = log.last_of_each(pattern, Part::Headers, MAX_SUBJECTS).await?;
        last = newest.iter().map(|entry| entry.position).max().unwrap_or_default().max(last);
    }
    let mut all: Vec<Entry> = Vec::new();
    if last == Position::NONE {
        return Ok(all);
    }
    let mut reader = log.read(Position::NONE.next(), patterns, part).await?;
    while all.last().is_none_or(|entry| entry.position < last) {
        let read = timeout(PATIENCE, reader.next(CHUNK)).await.context("the log does not answer")??;
        all.extend(read);
    }
    all.retain(|entry| entry.position <= last);
    Ok(all)
}

/// A past as it is read.
struct Reading<'a> {
    layout: &'a Layout,
    spec: &'a HandlerSpec,
    source: String,
    inputs: Vec<Input>,
    written: BTreeMap<Position, Vec<(Mark, Entry)>>,
    histories: Vec<(String, Entry)>,
    dead: BTreeMap<Position, dead::About>,
    parked: BTreeSet<Position>,
    watermark: Position,
    above: BTreeSet<Position>,
}

impl Reading<'_> {
    fn new<'a>(layout: &'a Layout, spec: &'a HandlerSpec) -> Reading<'a> {
        Reading {
            layout,
            spec,
            source: layout.source(&spec.name),
            inputs: Vec::new(),
            written: BTreeMap::new(),
            histories: Vec::new(),
            dead: BTreeMap::new(),
            parked: BTreeSet::new(),
            watermark: Position::NONE,
            above: BTreeSet::new(),
        }
    }

    fn take(&mut self, entry: Entry) -> Result<()> {
        let (name, layout) = (&self.spec.name, self.layout);
        let is_the_hosts = layout.everything().matches(entry.subject.as_str());
        let is_own = is_the_hosts || entry.headers.get("ce-source") == Some(self.source.as_str());
        let mark = Mark::of(&entry.headers).filter(|mark| is_own && mark.whose == layout.named(name));
        if let Some(mark) = &mark {
            self.watermark = self.watermark.max(mark.watermark);
            self.above.extend(mark.told());
        }
        if is_the_hosts {
            let is = |pattern: &Pattern| pattern.matches(entry.subject.as_str());
            let position = Layout::position(&entry.subject).filter(|_| !tombstone::is(&entry));
            if is(&layout.all_parked(Some(name))) {
                self.parked.extend(position);
                return Ok(());
            }
            if is(&layout.dead_letters(Some(name))) || is(&layout.all_archived(Some(name))) {
                if let Some(position) = position {
                    self.dead.insert(position, DeadLetter::read(entry)?.about);
                }
                return Ok(());
            }
        } else {
            if self.spec.on.iter().any(|on| on.matches(entry.subject.as_str())) {
                self.inputs.push(source::input(entry.clone(), self.spec));
            }
            if let Some(subjects) = &self.spec.aggregate
                && let Some(id) = aggregate::id(subjects, &entry.subject)
            {
                self.histories.push((id, entry.clone()));
            }
        }
        if let Some(mark) = mark.filter(|_| !tombstone::is(&entry)) {
            self.written.entry(mark.input).or_default().push((mark, entry));
        }
        Ok(())
    }

    fn end(self, first: Position) -> Past {
        let Reading { mut inputs, written, histories, dead, parked, watermark, above, .. } = self;
        let heard: BTreeSet<Position> = inputs.iter().map(|input| input.entry.position).collect();
        inputs.retain(|input| {
            let position = input.entry.position;
            position <= watermark || above.contains(&position)
        });
        let by_an_input =
            |entry: &Entry| Mark::of(&entry.headers).is_some_and(|mark| heard.contains(&mark.input));
        let elsewhere = histories.into_iter().filter(|(_, entry)| !by_an_input(entry)).collect();
        let others = written.keys().filter(|input| !heard.contains(input)).count();
        Past { inputs, written, elsewhere, dead, parked, first, others }
    }
}
