//! Makes the index, beside a host's work: it reads what stands in the log, slowly, and writes segments.
//!
//! Any host may do it. What it writes follows from the log alone, and counts when a commit says so that expects that nobody has
//! said it meanwhile: so two who do it at once do the same, and one of them in vain. They get out of each other's way.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep, timeout};
use waxwing_engine::{
    entry::Layout,
    port::{
        Log,
        log::{CommitError, Entry, Expect, NewEntry, Part, Reader, commit},
    },
};
use waxwing_event::Position;

use super::{
    SPAN,
    extent::{Extent, Place},
    segment::Segment,
    terms::{Term, Terms},
};

/// How often it is looked whether there is something to do.
const LOOKS: Duration = Duration::from_secs(2);

/// For so long after another host has written, that one goes on with it.
const OTHERS: SignedDuration = SignedDuration::from_secs(20);

/// Entries that are read at a time.
const CHUNK: usize = 500;

/// It rests so many times as long as it has worked.
const REST: u32 = 4;

/// So many payloads of a span are asked for one by one: where more are needed, those of the next spans are read with their
/// headers. And so many events are looked up that are handled much later than they came.
const ONE_BY_ONE: u64 = SPAN / 64;

/// How long the log may take to give entries that are there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the index of an app's log.
pub struct Builder {
    log: Arc<dyn Log>,
    layout: Layout,
    host: String,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another span is indexed.
    Made,
    /// There is nothing to do: fewer entries than a span are left, or another host does it.
    Idle,
}

/// The log as it is read, one span after the other.
struct Reading {
    reader: Box<dyn Reader>,
    /// Whether payloads are read, too.
    part: Part,
    terms: Terms,
    /// The next span.
    span: u64,
    /// What was read of the span behind that.
    ahead: Vec<Entry>,
}

impl Builder {
    /// Of this host.
    pub fn new(log: Arc<dyn Log>, layout: Layout, host: &str) -> Builder {
        Builder { log, layout, host: host.to_owned() }
    }

    /// Makes it for as long as it is polled. What goes wrong is said, and tried again.
    pub async fn run(self) {
        let mut reading = None;
        loop {
            match self.step(&mut reading, REST).await {
                Ok(Step::Made) => continue,
                Ok(Step::Idle) => {}
                Err(error) => {
                    reading = None;
                    tracing::debug!(error = format!("{error:#}"), "the index of stories rests");
                }
            }
            sleep(LOOKS).await;
        }
    }

    /// Indexes all that there is, without a rest.
    pub async fn catch_up(&self) -> Result<()> {
        let mut reading = None;
        while self.step(&mut reading, 0).await? == Step::Made {}
        Ok(())
    }

    async fn step(&self, reading: &mut Option<Reading>, rest: u32) -> Result<Step> {
        let bounds = self.log.bounds().await?;
        let known = self.log.last(&self.layout.indexed()).await?;
        let (extent, at) = match &known {
            Some(entry) => (Extent::read(entry), entry.position),
            None => (None, Position::NONE),
        };
        // Where nothing is indexed, what is older than the log's first entry never is.
        let done = extent.as_ref().map_or(bounds.first.0.saturating_sub(1) / SPAN, |extent| extent.spans);
        if (done + 1) * SPAN > bounds.last.0 {
            return Ok(Step::Idle);
        }
        let now = Timestamp::now();
        let is_others =
            |extent: &Extent| extent.host != self.host && now.duration_since(extent.time) < OTHERS;
        if extent.as_ref().is_some_and(is_others) {
            *reading = None;
            return Ok(Step::Idle);
        }
        let segment = match reading.take().filter(|reading| reading.span == done) {
            Some(going_on) => self.read(reading.insert(going_on), rest).await?,
            None => {
                let place = Place { level: 0, number: done };
                let part = Part::Headers;
                let reader = self.log.read(place.first(), &[], part).await?;
                let terms = Terms::new(self.layout.clone());
                let (span, ahead) = (done, Vec::new());
                self.read(reading.insert(Reading { reader, part, terms, span, ahead }), rest).await?
            }
        };
        self.write(Extent { spans: done + 1, host: self.host.clone(), time: now }, at, segment).await
    }

    /// Reads the next span.
    async fn read(&self, reading: &mut Reading, rest: u32) -> Result<Segment> {
        let place = Place { level: 0, number: reading.span };
        let (mut items, mut asked, mut looked_back) = (Vec::new(), 0_u64, 0_u64);
        let mut entries = std::mem::take(&mut reading.ahead);
        loop {
            let begun = Instant::now();
            let mut is_through = false;
            for entry in entries {
                if entry.position > place.last() {
                    is_through = true;
                    reading.ahead.push(entry);
                    continue;
                }
                is_through |= entry.position == place.last();
                let mut term = reading.terms.of(&entry, reading.part == Part::Whole);
                if matches!(term, Term::InPayload) {
                    asked += 1;
                    let whole = self.log.at(entry.position, Part::Whole).await?;
                    term = whole.map_or(Term::None, |whole| reading.terms.of(&whole, true));
                } else if let Term::AsThatAt(input) = term {
                    term = Term::None;
                    if looked_back < ONE_BY_ONE {
                        looked_back += 1;
                        let input = self.log.at(input, Part::Whole).await?;
                        term = input.map_or(Term::None, |input| reading.terms.of(&input, true));
                    }
                }
                if let Term::Of(hash) = term {
                    let offset = entry.position.0.saturating_sub(place.first().0);
                    items.push((hash, u32::try_from(offset)?));
                }
            }
            if is_through {
                reading.span += 1;
                if asked > ONE_BY_ONE && reading.part == Part::Headers {
                    // Events that tell nothing in their headers are the rule here.
                    reading.part = Part::Whole;
                    reading.ahead.clear();
                    reading.reader = self.log.read(place.last().next(), &[], reading.part).await?;
                }
                return Ok(Segment::new(items));
            }
            sleep(begun.elapsed() * rest).await;
            let next = timeout(PATIENCE, reading.reader.next(CHUNK)).await;
            entries = next.context("the log does not give what stands in it")??;
        }
    }

    /// Writes a span's segment, and those that it makes complete.
    async fn write(&self, extent: Extent, at: Position, segment: Segment) -> Result<Step> {
        let place = Place { level: 0, number: extent.spans - 1 };
        // All of them stand before it is said that they count.
        self.keep(self.kept(place, 0, &segment)).await?;
        let merges = extent.merges();
        for level in &merges {
            let number = extent.last().0 / Place { level: *level, number: 0 }.last().0 - 1;
            self.merge(Place { level: *level, number }).await?;
        }
        if !self.advance(&extent, at).await? {
            return Ok(Step::Idle);
        }
        for level in merges {
            let last = self.log.bounds().await?.last;
            self.log.remove(&self.layout.index_level(level - 1), last).await?;
        }
        Ok(Step::Made)
    }

    /// Writes an entry, unless the log does not take so large a one: whoever looks something up reads the log there.
    async fn keep(&self, entry: NewEntry) -> Result<()> {
        match commit(self.log.as_ref(), vec![entry]).await {
            Ok(_) | Err(CommitError::Invalid(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes how far the index is; false where another was faster.
    async fn advance(&self, extent: &Extent, at: Position) -> Result<bool> {
        let mut entry = extent.write(&self.layout);
        entry.expect = Some(Expect { subject: None, last: at });
        match commit(self.log.as_ref(), vec![entry]).await {
            Ok(_) => Ok(true),
            Err(CommitError::Refused(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a segment of those of the level below. What of them is gone stays so: whoever looks reads the log there.
    async fn merge(&self, place: Place) -> Result<()> {
        let parts_below = Place { level: place.level - 1, number: 0 }.parts();
        for part in 0..parts_below {
            let mut below = Vec::new();
            for (from, behind) in place.below() {
                let entry = self.log.last(&from.subject(&self.layout, part)).await?;
                let Some(segment) = entry.and_then(|entry| Segment::decode(&entry.payload)) else {
                    return Ok(());
                };
                below.push((segment, u32::try_from(behind)?));
            }
            let parts = place.parts();
            let merged = Segment::merged(below, parts);
            let fan = parts / parts_below;
            for (own, segment) in (0..).zip(merged).filter(|(own, _)| own / fan == part) {
                self.keep(self.kept(place, own, &segment)).await?;
            }
        }
        Ok(())
    }

    fn kept(&self, place: Place, part: u64, segment: &Segment) -> NewEntry {
        let mut entry = NewEntry::new(place.subject(&self.layout, part), segment.encode());
        entry.rollup = true;
        entry
    }
}
