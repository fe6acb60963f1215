//! What a handler heard, and what it emitted then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use async_nats::jetstream;
use tokio::time::timeout;
use waxwing_engine::{
    entry::Mark,
    inputs::Inputs,
    port::log::{Bounds, Entry, Part, Reader},
};
use waxwing_event::{HandlerSpec, Pattern, Position, StreamName};
use waxwing_log::jetstream::Link;

use super::Told;
use crate::{
    assemble,
    cli::{
        place::Place,
        style::{END, WARN},
    },
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

impl Past<'_> {
    pub(super) async fn open<'a>(place: &'a Place, spec: &HandlerSpec, target: &Target) -> Result<Past<'a>> {
        let Some(manifest) = &place.manifest else { bail!("a replay needs the app's manifest") };
        let outside = assemble::outside(&manifest.config, target).await?;
        let inputs = Inputs::open(&place.log, &outside, spec).await?;
        let link = target.connect("replaying").await?;
        let context = jetstream::new(link.client().clone());
        Ok(Past { place, spec: spec.clone(), inputs, context, _link: link })
    }

    /// Says that the beginning is not there any more, where it is not.
    pub(super) fn say_what_is_gone(&self) {
        let Bounds { first, .. } = self.inputs.bounds;
        if first.0 > 1 {
            anstream::eprintln!(
                "{WARN}note:{END} the log begins at position {first}: what events before it have done is not replayed"
            );
        }
    }

    /// The handler's inputs, oldest first, up to the first that `ends` takes.
    pub(super) async fn inputs(&self, limit: usize, ends: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>> {
        let mut inputs: Vec<Entry> = Vec::new();
        let mut has_ended = false;
        let take = |entry: Entry| {
            has_ended = has_ended || ends(&entry);
            if !has_ended && inputs.len() < limit {
                inputs.push(entry);
            }
            !has_ended && inputs.len() < limit
        };
        let (from, subjects) = (Position::NONE.next(), &self.spec.on);
        let own = || self.place.layout.stream();
        let stream = self.spec.stream.as_ref().map_or_else(own, StreamName::to_string);
        let count = self.count(&stream, from, subjects).await?;
        let reader = self.inputs.entries.read(from, subjects, Part::Whole).await?;
        each(reader, count, take).await?;
        if inputs.len() == limit {
            anstream::eprintln!("only {limit} events are run: raise --limit to run more");
        }
        Ok(inputs)
    }

    /// What stands in the log of what these inputs made the handler emit, in its order.
    pub(super) async fn told(&self, inputs: &[Entry]) -> Result<BTreeMap<Position, Vec<Told>>> {
        let positions: BTreeSet<Position> = inputs.iter().map(|entry| entry.position).collect();
        let source = self.place.layout.source(&self.spec.name);
        let mut told: BTreeMap<Position, Vec<Told>> = BTreeMap::new();
        let take = |entry: Entry| {
            let is_own = entry.headers.get("ce-source") == Some(source.as_str());
            let mark = Mark::of(&entry.headers).filter(|mark| is_own && mark.handler == self.spec.name);
            if let Some(mark) = mark.filter(|mark| positions.contains(&mark.input)) {
                told.entry(mark.input).or_default().extend(Told::then(&entry));
            }
            true
        };
        let events = self.place.manifest.iter().flat_map(|manifest| manifest.config.events.clone());
        let events: Vec<Pattern> = events.collect();
        let from = match (&self.spec.stream, inputs.first()) {
            (None, Some(first)) => first.position,
            _ => Position::NONE.next(),
        };
        let count = self.count(&self.place.layout.stream(), from, &events).await?;
        let reader = self.place.log.read(from, &events, Part::Whole).await?;
        each(reader, count, take).await?;
        Ok(told)
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
