//! The engine on a log and a world outside in memory, with a handler in plain Rust.

use std::{sync::Arc, time::Duration};

use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    entry::{Checkpoint, Layout, Partition},
    port::{
        Log, Observe, Outside,
        clock::SystemClock,
        log::{Entry, NewEntry, Part, commit},
        observe::Unobserved,
    },
};
use waxwing_event::{HandlerName, HandlerSpec, Headers, Pattern, Position};
use waxwing_log::{MemoryLog, MemoryOutside, memory};

use crate::scripted::{Script, Scripted, count};

/// Longer than anything here takes, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A log and a world outside.
pub struct Stage {
    pub log: MemoryLog,
    events: Vec<Pattern>,
    pub outside: MemoryOutside,
    /// Takes the place of what is in memory.
    pub elsewhere: Option<Outside>,
    pub layout: Layout,
}

pub fn patterns(text: &[&str]) -> Vec<Pattern> {
    text.iter().map(|pattern| pattern.parse().unwrap()).collect()
}

/// A log in memory that keeps these subjects.
pub fn memory(subjects: &[&str]) -> MemoryLog {
    memory_of(subjects, memory::Options::default().max_entry_bytes)
}

/// A log in memory that keeps these subjects and takes no larger entries.
pub fn memory_of(subjects: &[&str], max_entry_bytes: usize) -> MemoryLog {
    let options =
        memory::Options { subjects: patterns(subjects), max_entry_bytes, ..memory::Options::default() };
    MemoryLog::with_options(Arc::new(SystemClock), options)
}

/// A handler that counts the events of each key.
pub fn spec(name: &str) -> HandlerSpec {
    let mut spec = HandlerSpec::new(name.parse().unwrap(), patterns(&["in.>"]));
    spec.key = vec!["data.key".parse().unwrap()];
    spec
}

/// Writes an input for [`spec`]'s handlers.
pub async fn put(log: &MemoryLog, key: &str, n: u64, mode: &str) -> Position {
    let data = format!(r#"{{"key":"{key}","n":{n},"mode":"{mode}"}}"#);
    let mut entry = NewEntry::new("in.item".parse().unwrap(), data);
    entry.headers = Headers::from_iter([("Nats-Msg-Id", format!("{key}-{n}"))]);
    commit(log, vec![entry]).await.unwrap().last
}

/// All entries of a log.
pub async fn all(log: &MemoryLog) -> Vec<Entry> {
    let last = log.bounds().await.unwrap().last;
    let mut reader = log.read(Position(1), &[], Part::Whole).await.unwrap();
    let mut entries: Vec<Entry> = Vec::new();
    while entries.last().is_none_or(|entry| entry.position < last) {
        entries.extend(reader.next(1000).await.unwrap());
    }
    entries
}

impl Stage {
    /// A log that keeps `in.>`, and a world outside.
    pub fn new() -> Stage {
        Stage::with_events(&["in.>"])
    }

    /// A log that keeps these subjects, and a world outside.
    pub fn with_events(events: &[&str]) -> Stage {
        let layout = Layout::new("test".parse().unwrap());
        let log = memory(&[events, &["wx.test.>"]].concat());
        Stage { log, events: patterns(events), outside: MemoryOutside::default(), elsewhere: None, layout }
    }

    pub async fn start(&self, host: &str, specs: Vec<HandlerSpec>) -> Engine {
        let hosted = |spec| Hosted::new(spec, Arc::new(Scripted(count)));
        self.start_hosted(host, specs.into_iter().map(hosted).collect(), Arc::new(Unobserved)).await
    }

    /// As [`Stage::start`], with handlers that emit to `subject`.
    pub async fn start_to(&self, host: &str, specs: Vec<HandlerSpec>, subject: &str) -> Engine {
        let subject = subject.to_owned();
        let telling = move |mut script: Script| {
            script.emit(&subject, "{}");
            async { Ok(script) }
        };
        let hosted = |spec| Hosted::new(spec, Arc::new(Scripted(telling.clone())));
        self.start_hosted(host, specs.into_iter().map(hosted).collect(), Arc::new(Unobserved)).await
    }

    pub async fn start_hosted(&self, host: &str, hosted: Vec<Hosted>, observe: Arc<dyn Observe>) -> Engine {
        let options = Options {
            checkpoint_every: Duration::from_millis(20),
            lease: Duration::from_secs(1),
            events: self.events.clone(),
            ..Options::new("test".parse().unwrap(), host)
        };
        let log: Arc<dyn Log> = Arc::new(self.log.clone());
        let mut ports = Ports::new(log, Arc::new(SystemClock), observe);
        ports.outside = self.elsewhere.clone().unwrap_or_else(|| self.outside.port());
        Engine::start(options, ports, hosted).await.unwrap()
    }

    /// Waits for a checkpoint of the handler at or above `position`.
    pub async fn handled(&self, handler: &str, position: Position) {
        let subject = self.layout.checkpoint(&handler.parse().unwrap(), Partition(0));
        let wait = async {
            let mut reader = self.log.read(Position(1), &[(&subject).into()], Part::Whole).await.unwrap();
            loop {
                for entry in reader.next(100).await.unwrap() {
                    if Checkpoint::read(&entry).unwrap().watermark >= position {
                        return;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("every input is handled");
    }

    /// Waits until so many events have gone out, duplicates not counted.
    pub async fn out(&self, count: usize) {
        tokio::time::timeout(PATIENCE, self.outside.wait_for(count)).await.expect("every event goes out");
    }

    /// How many entries the outbox of a handler holds.
    pub async fn in_outbox(&self, handler: &str) -> usize {
        let handler: HandlerName = handler.parse().unwrap();
        let outbox = self.layout.outboxes(Some(&handler));
        self.log.last_of_each(&outbox, Part::Headers, usize::MAX).await.unwrap().len()
    }
}
