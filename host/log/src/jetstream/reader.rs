//! Reads a stream forward, whatever happens to connections, servers and consumers.
//!
//! Its place is a position, so it needs nothing of the server to go on. After each loss it first takes one
//! entry through the API: if that is the one whose broken headers ended the connection, it is given as
//! broken and stepped over. Then a new consumer goes on from there.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use waxwing_engine::port::log::{Entry, Part, ReadError, Reader};
use waxwing_event::{Headers, Pattern, Position, Subject};

use super::{
    api::{Api, ApiError, code},
    consumer::{Consumer, Delivered, Lost, Wish},
    delivery::Delivery,
    filters::Filters,
    headers,
    line::Line,
    stored::Stored,
    stream,
};

/// The pause after an attempt that came to nothing.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the stream must be gone, or be too short, to be believed: a new leader may not know it at once.
const BELIEVED_AFTER: Duration = Duration::from_secs(3);
/// How often a reader that cannot read says so.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Where a reader reads.
pub(super) struct Source {
    pub(super) api: Api,
    pub(super) stored: Stored,
    pub(super) line: Arc<Line>,
    pub(super) stream: String,
    /// When the stream was made, where another of the same name must not be read on.
    pub(super) made: Option<Timestamp>,
}

/// A place in the stream, and how to get on from it.
pub(super) struct JetStreamReader {
    source: Source,
    filters: Filters,
    part: Part,
    /// The next position that matters.
    next: Position,
    /// The last entry that was given: where it stands, and since when.
    given: Option<(Position, Timestamp)>,
    stage: Stage,
    trouble: Option<Trouble>,
}

/// How the next entry comes.
enum Stage {
    /// By a new consumer.
    Start,
    /// Through the API, as the last way was lost.
    Step,
    /// By this consumer.
    Flow(Box<Consumer>),
}

/// Since when nothing can be read.
struct Trouble {
    since: Instant,
    warned: Instant,
    /// Since when the stream seems gone or too short.
    gone_since: Option<Instant>,
}

impl JetStreamReader {
    pub(super) fn new(source: Source, from: Position, subjects: &[Pattern], part: Part) -> JetStreamReader {
        let (filters, next) = (Filters::new(subjects), from.max(Position(1)));
        JetStreamReader { source, filters, part, next, given: None, stage: Stage::Start, trouble: None }
    }

    /// Gives what has come, or gets one stage further.
    async fn advance(&mut self, max: usize) -> Result<Vec<Entry>, Failure> {
        match &mut self.stage {
            Stage::Start => {
                let consumer = self.consumer().await?;
                // Between the last look and the consumer another stream may have taken the name.
                if self.source.made.is_some() {
                    self.check_stream().await?;
                }
                self.stage = Stage::Flow(Box::new(consumer));
                self.recovered();
                Ok(Vec::new())
            }
            Stage::Step => {
                self.check_stream().await?;
                let entry = self.source.stored.next(self.next, self.filters.asked(), self.part).await?;
                Ok(self.step(entry))
            }
            Stage::Flow(consumer) => {
                let first = consumer.next().await;
                if matches!(first, Ok(None)) {
                    self.check_delivery().await?;
                }
                Ok(self.flow(first, max))
            }
        }
    }

    /// Gives a consumer up that does not deliver what the stream's leader has.
    async fn check_delivery(&mut self) -> Result<(), ApiError> {
        let next = self.source.stored.next(self.next, self.filters.asked(), Part::Headers).await?;
        if let Stage::Flow(consumer) = &mut self.stage
            && !consumer.may_go_on(next.is_some())
        {
            tracing::warn!(
                stream = self.source.stream,
                next = %self.next,
                "the server does not deliver what the log has: reading is taken up anew"
            );
            self.stage = Stage::Step;
        }
        Ok(())
    }

    /// Makes a consumer from this place on.
    async fn consumer(&self) -> Result<Consumer, ApiError> {
        let link = self.source.line.living().await;
        let filters = self.filters.asked().iter().map(Pattern::as_str).collect();
        let wish = Wish { stream: &self.source.stream, from: self.next, filters, part: self.part };
        Consumer::create(&self.source.api, link, wish).await
    }

    /// A stream that ends before what it gave, or holds another entry there, has lost entries, or is another
    /// of the same name: to go on at a place in it would be to miss some in silence.
    async fn check_stream(&self) -> Result<(), Failure> {
        let looked = stream::look(&self.source.api, &self.source.stream).await?;
        if self.source.made.is_some_and(|made| made != looked.made) {
            return Err(Failure::Gone(format!("another of the same name was made at {}", looked.made)));
        }
        let Some((given, time)) = self.given else { return Ok(()) };
        let last = Position(looked.state.last_seq);
        if last < given {
            let why = format!("it ends at {last}, before {given}, which was read: it has lost entries");
            return Err(Failure::Gone(why));
        }
        match self.source.stored.at(given, Part::Headers).await? {
            Some(entry) if entry.time != time => {
                let why = format!("it holds another entry at {given} than was read: it has lost entries");
                Err(Failure::Gone(why))
            }
            // Where it has been replaced or has expired since, the length must do.
            Some(_) | None => Ok(()),
        }
    }

    fn step(&mut self, entry: Option<Entry>) -> Vec<Entry> {
        let Some(entry) = entry else {
            self.stage = Stage::Start;
            return Vec::new();
        };
        // Broken entries often come in a row, and each would end the connection.
        if entry.headers.broken().is_none() {
            self.stage = Stage::Start;
        }
        self.next = entry.position.next();
        self.wanted(entry).into_iter().collect()
    }

    /// Takes all that has come, up to `max`.
    fn flow(&mut self, mut delivered: Result<Option<Delivered>, Lost>, max: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            match delivered {
                Ok(Some((message, delivery))) => entries.extend(self.entry(message, delivery)),
                Ok(None) => break,
                Err(lost) => {
                    tracing::debug!(stream = self.source.stream, next = %self.next, %lost, "reading is taken up anew");
                    self.stage = Stage::Step;
                    break;
                }
            }
            if entries.len() >= max {
                break;
            }
            let Stage::Flow(consumer) = &mut self.stage else { break };
            delivered = consumer.here();
        }
        entries
    }

    fn entry(&mut self, message: Message, delivery: Delivery) -> Option<Entry> {
        // A consumer made for a place past the stream's end begins earlier.
        if delivery.position < self.next {
            return None;
        }
        self.next = delivery.position.next();
        let headers = message.headers.as_ref().map_or_else(Headers::new, headers::from_nats);
        let payload = if self.part == Part::Whole { message.payload } else { Bytes::new() };
        let subject = Subject::from_checked(&message.subject);
        self.wanted(Entry { position: delivery.position, subject, headers, payload, time: delivery.time })
    }

    fn wanted(&mut self, entry: Entry) -> Option<Entry> {
        self.given = Some((entry.position, entry.time));
        self.filters.want(entry.subject.as_str()).then_some(entry)
    }

    fn recovered(&mut self) {
        if let Some(trouble) = self.trouble.take()
            && trouble.warned > trouble.since
        {
            tracing::info!(stream = self.source.stream, next = %self.next, "the log is read on");
        }
    }

    /// Notes a failure, pauses, and gives an error only where the stream is gone for good.
    async fn endure(&mut self, failure: Failure) -> Result<(), ReadError> {
        let now = Instant::now();
        let trouble = self.trouble.get_or_insert(Trouble { since: now, warned: now, gone_since: None });
        match &failure {
            Failure::Gone(why) => {
                let since = *trouble.gone_since.get_or_insert(now);
                if now.duration_since(since) >= BELIEVED_AFTER {
                    return Err(ReadError::Broken(format!(
                        "the stream `{}` is gone: {why}",
                        self.source.stream
                    )));
                }
            }
            Failure::Passing(_) => trouble.gone_since = None,
        }
        if now.duration_since(trouble.warned) >= WARN_EVERY {
            trouble.warned = now;
            tracing::warn!(stream = self.source.stream, next = %self.next, %failure, "the log cannot be read for now");
        }
        self.stage = Stage::Step;
        sleep(PAUSE).await;
        Ok(())
    }
}

/// Why a reader did not get on.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Gone(String),
    #[error("{0}")]
    Passing(ApiError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        if error.is(code::NO_STREAM) { Failure::Gone(error.to_string()) } else { Failure::Passing(error) }
    }
}

#[async_trait]
impl Reader for JetStreamReader {
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        loop {
            match self.advance(max.max(1)).await {
                Ok(entries) if entries.is_empty() => {}
                Ok(entries) => return Ok(entries),
                Err(failure) => self.endure(failure).await?,
            }
        }
    }
}
