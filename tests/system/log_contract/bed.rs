//! A log under test, and short words for what tests do with it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use waxwing_engine::port::{
    Clock, Log,
    log::{CommitError, Committed, Entry, Expect, NewEntry, Part, Reader, commit},
};
use waxwing_event::{Pattern, Position};
use waxwing_log::{
    JetStreamLog, MemoryLog,
    jetstream::{Options, Storage},
    memory,
};

use crate::server::TestServer;

/// Far longer than anything here takes; a test that waits for what never comes ends with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A log, and what keeps it alive.
pub struct Bed {
    pub log: Arc<dyn Log>,
    time: Time,
    _server: Option<TestServer>,
}

enum Time {
    Ours(Arc<HandClock>),
    Real,
}

impl Bed {
    pub fn memory() -> Bed {
        let clock = Arc::new(HandClock(Mutex::new(Timestamp::from_second(1_800_000_000).unwrap())));
        let options =
            memory::Options { subjects: vec![pattern("a.>"), pattern("wx.test.>")], ..Default::default() };
        let log = Arc::new(MemoryLog::with_options(clock.clone(), options));
        Bed { log, time: Time::Ours(clock), _server: None }
    }

    pub async fn jetstream() -> Bed {
        let server = TestServer::start().await;
        let log = Arc::new(JetStreamLog::open(&server.address(), &options()).await.unwrap());
        Bed { log, time: Time::Real, _server: Some(server) }
    }

    /// Lets `time` pass, after which `subject` must have no entry any more.
    pub async fn expire(&self, subject: &str, time: Duration) {
        match &self.time {
            Time::Ours(clock) => clock.advance(time),
            Time::Real => {
                let gone = async {
                    while self.last(subject).await.is_some() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                in_time(gone).await;
            }
        }
        assert_eq!(self.last(subject).await, None);
    }

    pub async fn commit(&self, entries: Vec<NewEntry>) -> Result<Position, CommitError> {
        let end = in_time(commit(self.log.as_ref(), entries)).await;
        end.map(|Committed { last }| last)
    }

    /// Writes one entry that must be taken.
    pub async fn put(&self, subject: &str, payload: &str) -> Position {
        self.commit(vec![entry(subject, payload)]).await.unwrap()
    }

    pub async fn last(&self, subject: &str) -> Option<Entry> {
        self.log.last(&subject.parse().unwrap()).await.unwrap()
    }

    pub async fn reader(&self, from: u64, subjects: &[&str], part: Part) -> TestReader {
        let patterns: Vec<Pattern> = subjects.iter().map(|s| pattern(s)).collect();
        TestReader(self.log.read(Position(from), &patterns, part).await.unwrap())
    }

    /// The payloads of all entries from the beginning, which must be `count`.
    pub async fn payloads(&self, count: usize) -> Vec<String> {
        let entries = self.reader(1, &[], Part::Whole).await.take(count).await;
        entries.iter().map(text).collect()
    }

    /// The last position that was given out.
    pub async fn end(&self) -> Position {
        self.log.bounds().await.unwrap().last
    }
}

/// A log for the app `test`, which keeps `a.>`.
pub fn options() -> Options {
    Options { storage: Storage::File, ..Options::new("test".parse().unwrap(), vec![pattern("a.>")]) }
}

/// A reader that gives up after a while.
pub struct TestReader(pub Box<dyn Reader>);

impl TestReader {
    /// The next `count` entries.
    pub async fn take(&mut self, count: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        while entries.len() < count {
            let more = in_time(self.0.next(count - entries.len())).await.unwrap();
            assert!(!more.is_empty());
            entries.extend(more);
        }
        assert_eq!(entries.len(), count);
        entries
    }
}

/// Waits, but not for ever.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

pub fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

pub fn entry(subject: &str, payload: &str) -> NewEntry {
    NewEntry::new(subject.parse().unwrap(), payload.to_owned())
}

/// An entry that expects `of` (none: its own subject) to end at `last`.
pub fn expecting(subject: &str, payload: &str, of: Option<&str>, last: Position) -> NewEntry {
    let expect = Expect { subject: of.map(|s| s.parse().unwrap()), last };
    NewEntry { expect: Some(expect), ..entry(subject, payload) }
}

pub fn text(entry: &Entry) -> String {
    String::from_utf8(entry.payload.to_vec()).unwrap()
}

/// A clock that goes where the test puts it.
#[derive(Debug)]
struct HandClock(Mutex<Timestamp>);

impl HandClock {
    fn advance(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}
