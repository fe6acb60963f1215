//! A host that leaves gives its leases up, whatever it is in the midst of; one that dies does not.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use waxwing_engine::{
    Engine, Hosted, Options, Ports,
    engine::Drained,
    entry::{Layout, Lease, Partition},
    port::{
        Log,
        clock::SystemClock,
        log::{Bounds, Done, Entry, NewEntry, Part, ReadError, Reader, commit},
        observe::Unobserved,
    },
};
use waxwing_event::{AppName, Failure, HandlerSpec, Pattern, Position, Subject};
use waxwing_log::memory::MemoryLog;

use crate::{
    app::PATIENCE,
    scripted::{Script, Scripted},
};

fn app() -> AppName {
    "test".parse().unwrap()
}

/// A host whose runs never end.
async fn start(log: Arc<dyn Log>) -> Engine {
    let spec = HandlerSpec::new("stuck".parse().unwrap(), vec!["in.>".parse().unwrap()]);
    let module = Arc::new(Scripted(|_: Script| std::future::pending::<Result<Script, Failure>>()));
    let ports = Ports::new(log, Arc::new(SystemClock), Arc::new(Unobserved));
    Engine::start(Options::new(app(), "a"), ports, vec![Hosted::new(spec, module)]).await.unwrap()
}

/// Waits until the lease is taken.
async fn taken(log: &MemoryLog) {
    let subject: Subject = Layout::new(app()).lease(&"stuck".parse().unwrap(), Partition(0));
    let mut reader = log.read(Position(1), &[(&subject).into()], Part::Whole).await.unwrap();
    tokio::time::timeout(PATIENCE, reader.next(1)).await.unwrap().unwrap();
}

async fn owner(log: &MemoryLog) -> Option<String> {
    let subject = Layout::new(app()).lease(&"stuck".parse().unwrap(), Partition(0));
    Lease::read(&log.last(&subject).await.unwrap().unwrap()).unwrap().host
}

#[tokio::test]
async fn when_its_grace_is_over_before_its_runs_are() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let entry = NewEntry::new("in.item".parse().unwrap(), "{}");
    commit(&log, vec![entry]).await.unwrap();
    let engine = start(Arc::new(log.clone())).await;
    taken(&log).await;
    assert_eq!(engine.drain(Duration::from_millis(200)).await, Drained::GraceOver);
    assert_eq!(owner(&log).await, None);
}

#[tokio::test]
async fn when_it_has_not_found_its_place_yet() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let engine = start(Arc::new(Boundless(log.clone()))).await;
    taken(&log).await;
    assert_eq!(engine.drain(PATIENCE).await, Drained::Whole);
    assert_eq!(owner(&log).await, None);
}

#[tokio::test]
async fn not_when_it_dies() {
    let log = MemoryLog::new(Arc::new(SystemClock));
    let engine = start(Arc::new(log.clone())).await;
    taken(&log).await;
    drop(engine);
    assert_eq!(owner(&log).await.as_deref(), Some("a"));
}

/// A log that does not tell where it ends.
struct Boundless(MemoryLog);

#[async_trait]
impl Log for Boundless {
    async fn bounds(&self) -> Result<Bounds, ReadError> {
        std::future::pending().await
    }

    async fn read(&self, from: Position, of: &[Pattern], part: Part) -> Result<Box<dyn Reader>, ReadError> {
        self.0.read(from, of, part).await
    }

    fn commit(&self, entries: Vec<NewEntry>, done: Done) {
        self.0.commit(entries, done);
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.0.last(subject).await
    }

    async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ReadError> {
        self.0.at(position, part).await
    }

    async fn last_of_each(&self, of: &Pattern, part: Part, limit: usize) -> Result<Vec<Entry>, ReadError> {
        self.0.last_of_each(of, part, limit).await
    }

    async fn remove(&self, of: &Pattern, up_to: Position) -> Result<(), ReadError> {
        self.0.remove(of, up_to).await
    }

    fn max_entry_bytes(&self) -> usize {
        self.0.max_entry_bytes()
    }
}
