//! The source: reads a partition's inputs, decodes them and finds their keys.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;
use waxwing_event::{
    Event, Failure, HandlerSpec, Headers, Pattern, Position, StreamName, Subject,
    decode::{self, DecodeError},
    key::key_of,
    outcome::FailureKind,
};

use crate::{
    entry::{
        Origin, Original,
        partitions::{Former, Share},
        timer,
    },
    lane::Key,
    port::{
        Clock,
        log::{Entry, Part, ReadError},
        outside::Read,
    },
    readings::{Alone, Readings, Together},
};

/// Entries taken from the reader at a time.
pub(crate) const CHUNK: usize = 256;

/// Chunks that wait for the partition.
pub const CHUNKS_AHEAD: usize = 4;

/// How long an original is waited for that stands only at its position.
const ORIGINAL_TIME: Duration = Duration::from_secs(5);

/// A chunk of so many bytes is handed on as it is, so that the partition can stop in time.
pub const CHUNK_BYTES: usize = 256 << 10;

/// What the source hands on.
pub type Arrivals = Result<Vec<Arrival>, ReadError>;

/// One input, in the order of the log.
pub enum Arrival {
    /// To be handled.
    Input(Box<Input>),
    /// Handled before.
    Handled(Position),
    /// Another partition's, or handled before the inputs were divided as they are now.
    Elsewhere(Position),
}

/// Which of the inputs are still to be handled by a partition.
pub struct Open {
    /// Those of its keys.
    pub share: Share,
    /// But not these above its watermark.
    pub handled: BTreeSet<Position>,
    /// And not what was handled when the inputs were divided in another way.
    pub former: Vec<Former>,
}

impl Open {
    fn takes(&self, input: &Input) -> bool {
        let (key, position) = (input.key.as_deref(), input.entry.position);
        self.share.has(key, position) && !self.former.iter().any(|former| former.covers(key, position))
    }
}

/// An input to be handled.
pub struct Input {
    /// As it stands in the log.
    pub entry: Entry,
    /// As a handler receives it, or why it cannot.
    pub event: Result<Arc<Event>, Failure>,
    /// What keeps it in order.
    pub key: Option<Key>,
}

/// What a partition reads, and from where on.
pub struct Source {
    /// Where its inputs come from.
    pub inputs: Arc<dyn Read>,
    /// Which stream that is; none: the app's log.
    pub origin: Option<Origin>,
    /// The handler.
    pub spec: Arc<HandlerSpec>,
    /// What it reads with other partitions; none where there is only one.
    pub(crate) readings: Option<Arc<Readings>>,
}

impl Source {
    /// Reads on from a partition's place until the receiver is gone or the log cannot be read.
    pub async fn run(self, from: Position, open: Open, arrivals: mpsc::Sender<Arrivals>) {
        if self.spec.on.is_empty() {
            // Everything is read where no subjects are named.
            return arrivals.closed().await;
        }
        let mut alone = Alone { open, from };
        loop {
            let joined = match self.join(alone, &arrivals) {
                Ok(together) => Ok(Some(together)),
                Err(left) => self.read_alone(left, &arrivals).await,
            };
            let left = match joined {
                Ok(Some(together)) => together.ended().await,
                Ok(None) => return,
                Err(error) => Err(error),
            };
            alone = match left {
                Ok(left) => left,
                Err(error) => return drop(arrivals.send(Err(error)).await),
            };
        }
    }

    fn join(&self, alone: Alone, arrivals: &mpsc::Sender<Arrivals>) -> Result<Together, Alone> {
        match &self.readings {
            Some(readings) => readings.join(alone, (&self.inputs, &self.origin), arrivals),
            None => Err(alone),
        }
    }

    /// Reads for this partition alone, until it can join others; none where it has ended.
    async fn read_alone(
        &self,
        mut alone: Alone,
        arrivals: &mpsc::Sender<Arrivals>,
    ) -> Result<Option<Together>, ReadError> {
        let mut reader = self.inputs.read(alone.from, &self.spec.on, Part::Whole).await?;
        loop {
            let read = tokio::select! {
                biased;
                () = arrivals.closed() => return Ok(None),
                read = reader.next(CHUNK) => read?,
            };
            let mut read = read.into_iter();
            loop {
                let entries = entries(&mut read);
                let Some(last) = entries.last() else { break };
                alone.from = last.position.next();
                let arrive = |entry| Arriving::new(entry, &self.spec).at(&mut alone.open);
                let chunk = entries.into_iter().map(arrive).collect();
                if arrivals.send(Ok(chunk)).await.is_err() {
                    return Ok(None);
                }
            }
            alone = match self.join(alone, arrivals) {
                Ok(together) => return Ok(Some(together)),
                Err(left) => left,
            };
        }
    }
}

/// The next entries, up to [`CHUNK_BYTES`] and the one that goes beyond.
pub(crate) fn entries(read: &mut impl Iterator<Item = Entry>) -> Vec<Entry> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while bytes < CHUNK_BYTES
        && let Some(entry) = read.next()
    {
        bytes += entry.payload.len() + entry.headers.size_bytes();
        chunk.push(entry);
    }
    chunk
}

/// An entry on its way to those who may handle it, decoded when the first of them looks at it.
pub(crate) struct Arriving<'s> {
    position: Position,
    spec: &'s HandlerSpec,
    /// Until somebody looks at it.
    entry: Option<Entry>,
    /// From then on, until whose it is has it.
    input: Option<Box<Input>>,
}

impl Arriving<'_> {
    pub(crate) fn new(entry: Entry, spec: &HandlerSpec) -> Arriving<'_> {
        Arriving { position: entry.position, spec, entry: Some(entry), input: None }
    }

    /// As it arrives at a partition. It is the input of one at most.
    pub(crate) fn at(&mut self, open: &mut Open) -> Arrival {
        let position = self.position;
        if !open.handled.is_empty() && open.handled.remove(&position) {
            return Arrival::Handled(position);
        }
        if let Some(entry) = self.entry.take() {
            self.input = Some(Box::new(input(entry, self.spec)));
        }
        match self.input.take_if(|input| open.takes(input)) {
            Some(input) => Arrival::Input(input),
            None => Arrival::Elsewhere(position),
        }
    }
}

/// An entry as a handler receives it.
pub fn input(entry: Entry, spec: &HandlerSpec) -> Input {
    let stream = spec.stream.as_ref().map_or("log", StreamName::as_str);
    let event = decode::event_of(stream, &entry.subject, entry.position, &entry.headers, &entry.payload);
    if timer::is_on(&entry.subject) {
        return fired(entry, event);
    }
    keyed(entry, event, spec)
}

/// A message that stands in no log, as a handler receives it; `fresh` is its id where it brings none itself.
pub fn message(entry: Entry, spec: &HandlerSpec, fresh: &str) -> Input {
    let event = decode::message(&entry.subject, &entry.headers, &entry.payload, fresh);
    keyed(entry, event, spec)
}

/// What keeps a message in order that stands in no log.
pub fn key_of_message(
    subject: &Subject,
    headers: &Headers,
    payload: &Bytes,
    spec: &HandlerSpec,
) -> Option<String> {
    let event = decode::message(subject, headers, payload, "").ok()?;
    key_of(&event, &spec.key).ok()?
}

/// A timer's event has the key of the one whose run has set it.
fn fired(entry: Entry, event: Result<Event, DecodeError>) -> Input {
    let event = event.map_err(|error| error.to_string()).and_then(|mut event| {
        event.key = timer::About::read(&entry).map_err(|error| error.to_string())?.key;
        Ok(event)
    });
    finished(entry, event)
}

fn keyed(entry: Entry, event: Result<Event, DecodeError>, spec: &HandlerSpec) -> Input {
    let keyed = event.map_err(|error| error.to_string()).and_then(|mut event| {
        event.key = key_of(&event, &spec.key).map_err(|error| error.to_string())?;
        Ok(event)
    });
    finished(entry, keyed)
}

fn finished(entry: Entry, event: Result<Event, String>) -> Input {
    let event = event.map_err(|why| Failure::new(FailureKind::Decode, why));
    let key = event.as_ref().ok().and_then(|event| event.key.as_deref()).map(Key::from);
    Input { entry, event: event.map(Arc::new), key }
}

/// The event that an entry of the host's own keeps, as a handler receives it; read at its position where that
/// entry had no room for all of it.
pub async fn kept(
    inputs: &dyn Read,
    clock: &dyn Clock,
    spec: &HandlerSpec,
    original: &Original,
    payload: Bytes,
    time: Timestamp,
) -> Result<Input, ReadError> {
    let kept = original.entry(payload, time);
    if !original.is_partial() {
        return Ok(input(kept, spec));
    }
    let found = at_its_position(inputs, clock, original).await?;
    Ok(found.map_or_else(|| lost(kept), |entry| input(entry, spec)))
}

async fn at_its_position(
    inputs: &dyn Read,
    clock: &dyn Clock,
    original: &Original,
) -> Result<Option<Entry>, ReadError> {
    let mut reader = inputs.read(original.position, &[Pattern::from(&original.subject)], Part::Whole).await?;
    let found = tokio::select! {
        biased;
        entries = reader.next(1) => entries?,
        () = clock.sleep(ORIGINAL_TIME) => Vec::new(),
    };
    Ok(found.into_iter().find(|entry| entry.position == original.position))
}

fn lost(entry: Entry) -> Input {
    let why = format!("it was too large to be kept whole, and its stream holds {} no more", entry.position);
    Input { entry, event: Err(Failure::new(FailureKind::Decode, why)), key: None }
}
