//! What a handler heard, and what it emitted then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use async_nats::jetstream;
use tokio::time::timeout;
use waxwing_engine::{
    entry::{Checkpoint, Layout, Mark, aggregate, tombstone},
    inputs::Inputs,
    port::log::{Entry, Part, Reader},
    source::{self, Input},
};
use waxwing_event::{HandlerSpec, Pattern, Position};
use waxwing_log::jetstream::Link;

use super::{MAX_KEYS, Told};
use crate::{
    assemble,
    cli::{listed::MAX_SEARCHED, place::Place},
    nats::{self, Target},
};

/// How long an entry that is there is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Entries that are read at a time.
const CHUNK: usize = 1000;

/// A handler's inputs, and the app's events.
pub(super) struct Past<'a> {
    place: &'a Place,
    spec: HandlerSpec,
    inputs: Inputs,
    context: jetstream::Context,
    // Ends the connection when it goes.
    _link: Link,
}

/// What stands in the log.
#[derive(Default)]
pub(super) struct Written {
    /// What each input made the handler emit, in its order.
    pub(super) told: BTreeMap<Position, Vec<Told>>,
    /// The first entry of what each input made.
    pub(super) first: BTreeMap<Position, Position>,
    /// What histories hold that no input made: by requests, by timers, by other programs; with the aggregate.
    pub(super) elsewhere: Vec<(String, Entry)>,
    /// Inputs that became dead letters.
    pub(super) dead: BTreeSet<Position>,
    /// Inputs that wait for an attempt.
    parked: BTreeSet<Position>,
    /// Every input up to here was handled, or is parked.
    watermark: Position,
    /// Inputs above it that were.
    above: BTreeSet<Position>,
}

impl Written {
    /// True where an input was handled.
    pub(super) fn has_handled(&self, input: Position) -> bool {
        (input <= self.watermark || self.above.contains(&input)) && !self.parked.contains(&input)
    }

    fn note(&mut self, mark: &Mark) {
        self.watermark = self.watermark.max(mark.watermark);
        self.above.extend(mark.told());
    }
}

impl Past<'_> {
    pub(super) async fn open<'a>(place: &'a Place, spec: &HandlerSpec, target: &Target) -> Result<Past<'a>> {
        let Some(manifest) = &place.manifest else { bail!("a replay needs the app's manifest") };
        let outside = assemble::outside(&manifest.config, target).await?;
        let inputs = Inputs::open(&place.log, &outside, spec).await?;
        let link = target.connect("replaying").await?;
        let context = jetstream::new(link.client().clone());
        Ok(Past { place, spec: spec.clone(), inputs, context, _link: link })
    }

    /// The handler's inputs, oldest first, up to the first that `ends` takes; true where there are more than `limit`.
    pub(super) async fn inputs(
        &self,
        limit: usize,
        ends: impl Fn(&Entry) -> bool,
    ) -> Result<(Vec<Input>, bool)> {
        let mut inputs: Vec<Input> = Vec::new();
        let (mut has_ended, mut is_cut) = (false, false);
        let take = |entry: Entry| {
            has_ended = has_ended || ends(&entry);
            is_cut = !has_ended && inputs.len() == limit;
            if !has_ended && !is_cut {
                inputs.push(source::input(entry, &self.spec));
            }
            !has_ended && !is_cut
        };
        let (from, subjects) = (Position::NONE.next(), &self.spec.on);
        let count = self.count(&self.place.layout.read_by(&self.spec), from, subjects).await?;
        let reader = self.inputs.entries.read(from, subjects, Part::Whole).await?;
        each(reader, count, take).await?;
        if is_cut {
            anstream::eprintln!("only {limit} events are run: raise --limit to run more");
        }
        Ok((inputs, is_cut))
    }

    /// What stands in the log of what these inputs made the handler emit, and what else its histories hold.
    pub(super) async fn written(&self, inputs: &[Input]) -> Result<Written> {
        let positions: BTreeSet<Position> = inputs.iter().map(|input| input.entry.position).collect();
        let source = self.place.layout.source(&self.spec.name);
        let mut written = Written::default();
        let take = |entry: Entry| {
            let is_own = entry.headers.get("ce-source") == Some(source.as_str());
            let mark = Mark::of(&entry.headers).filter(|mark| is_own && mark.whose.handler == self.spec.name);
            mark.iter().for_each(|mark| written.note(mark));
            if let Some(mark) = mark.filter(|mark| positions.contains(&mark.input)) {
                written.first.entry(mark.input).or_insert(entry.position);
                written.told.entry(mark.input).or_default().extend(Told::then(&entry));
            } else if let Some(subjects) = &self.spec.aggregate
                && let Some(id) = aggregate::id(subjects, &entry.subject)
            {
                written.elsewhere.push((id, entry));
            }
            true
        };
        let events = self.place.manifest.iter().flat_map(|manifest| manifest.config.events.clone());
        let events: Vec<Pattern> = events.collect();
        // Histories are older than the first input that is there.
        let from = match (&self.spec.stream, &self.spec.aggregate, inputs.first()) {
            (None, None, Some(first)) => first.entry.position,
            _ => Position::NONE.next(),
        };
        let count = self.count(&self.place.layout.stream(), from, &events).await?;
        let reader = self.place.log.read(from, &events, Part::Whole).await?;
        each(reader, count, take).await?;
        self.look_at_the_hosts_own(&mut written).await?;
        Ok(written)
    }

    /// What the host's own entries tell of the handler's inputs.
    async fn look_at_the_hosts_own(&self, written: &mut Written) -> Result<()> {
        let (Place { log, layout, .. }, name) = (self.place, &self.spec.name);
        // The place of the partition that is behind all others is that of the handler.
        let mut behind = None;
        for partition in layout.partitions(name) {
            let entry = log.last(&layout.checkpoint(name, partition)).await?;
            let Checkpoint { watermark, handled, .. } =
                entry.map(|entry| Checkpoint::read(&entry)).transpose()?.unwrap_or_default();
            behind = Some(behind.map_or(watermark, |behind: Position| behind.min(watermark)));
            written.above.extend(handled);
        }
        written.watermark = written.watermark.max(behind.unwrap_or_default());
        for entry in log.last_of_each(&layout.states(name), Part::Headers, MAX_KEYS).await? {
            let Some(mark) = Mark::of(&entry.headers) else { continue };
            written.note(&mark);
            let first = written.first.entry(mark.input).or_insert(entry.position);
            *first = entry.position.min(*first);
        }
        let mut positions = async |subjects: &Pattern| -> Result<BTreeSet<Position>> {
            let entries = log.last_of_each(subjects, Part::Headers, MAX_SEARCHED).await?;
            entries.iter().filter_map(|entry| Mark::of(&entry.headers)).for_each(|mark| written.note(&mark));
            let there = entries.iter().filter(|entry| !tombstone::is(entry));
            Ok(there.filter_map(|entry| Layout::position(&entry.subject)).collect())
        };
        let parked = positions(&layout.all_parked(Some(name))).await?;
        let mut dead = positions(&layout.dead_letters(Some(name))).await?;
        dead.extend(positions(&layout.all_archived(Some(name))).await?);
        (written.parked, written.dead) = (parked, dead);
        Ok(())
    }

    /// How many entries there are now.
    async fn count(&self, stream: &str, from: Position, subjects: &[Pattern]) -> Result<usize> {
        let stream =
            self.context.get_stream(stream).await.context("the handler's stream cannot be looked at")?;
        Ok(usize::try_from(nats::pending(&stream, from, subjects).await?)?)
    }
}

/// Reads so many entries; `take` says whether to go on.
async fn each(mut reader: Box<dyn Reader>, count: usize, mut take: impl FnMut(Entry) -> bool) -> Result<()> {
    let mut left = count;
    while left > 0 {
        // Some may have gone since they were counted.
        let Ok(read) = timeout(PATIENCE, reader.next(CHUNK.min(left))).await else { return Ok(()) };
        for entry in read? {
            left = left.saturating_sub(1);
            if !take(entry) {
                return Ok(());
            }
        }
    }
    Ok(())
}
