//! A log that tells what is written to it, and that is lost to its host at one commit.
//!
//! Each life of a host has one, over the same log in memory. When its commit has come, nothing of this host is written or
//! answered any more, as after a crash; what became of that commit, its [`Fate`] says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;
use waxwing_engine::{
    entry::mark,
    port::{
        Log,
        log::{Bounds, CommitError, Committed, Done, Entry, NewEntry, Part, ReadError, Reader},
    },
};
use waxwing_event::{Pattern, Position, Subject};
use waxwing_log::MemoryLog;

use super::fault::{Cut, Fate};

/// What hosts write, over all their lives. Clones are the same.
#[derive(Clone, Default)]
pub struct Writing(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    commits: Vec<String>,
    entries: Vec<(Position, NewEntry)>,
    /// The commit that is to arrive late.
    late: Option<Vec<NewEntry>>,
}

impl Writing {
    /// What each commit was about, those included that came to nothing.
    pub fn commits(&self) -> Vec<String> {
        self.written().commits.clone()
    }

    /// The entries that runs have written since this was asked last.
    pub fn take(&self) -> Vec<(Position, NewEntry)> {
        std::mem::take(&mut self.written().entries)
    }

    /// The commit that is to arrive late, once it is time.
    pub fn take_late(&self) -> Option<Vec<NewEntry>> {
        self.written().late.take()
    }

    /// Takes note of what was written.
    pub fn note(&self, entries: Vec<NewEntry>, committed: Committed) {
        let mut position = Position(committed.last.0.saturating_sub(entries.len() as u64));
        let mut written = self.written();
        for entry in entries {
            position = position.next();
            if entry.headers.get(mark::HEADER).is_some() {
                written.entries.push((position, entry));
            }
        }
    }

    /// The number of a commit that is about to be written.
    fn number(&self, entries: &[NewEntry]) -> u64 {
        let subjects: Vec<&str> = entries.iter().map(|entry| entry.subject.as_str()).collect();
        let mut written = self.written();
        written.commits.push(subjects.join(", "));
        written.commits.len() as u64
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log, as one life of a host has it.
pub struct WatchedLog {
    log: MemoryLog,
    writing: Writing,
    cut: Option<Cut>,
    is_cut: Arc<Notify>,
    /// Who waits for answers that never come.
    unanswered: Mutex<Option<Vec<Done>>>,
}

impl WatchedLog {
    /// This log; `is_cut` hears when it is lost.
    pub fn new(log: MemoryLog, writing: Writing, cut: Option<Cut>, is_cut: Arc<Notify>) -> WatchedLog {
        WatchedLog { log, writing, cut, is_cut, unanswered: Mutex::new(None) }
    }

    fn unanswered(&self) -> MutexGuard<'_, Option<Vec<Done>>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(
        &self,
        entries: Vec<NewEntry>,
        done: impl FnOnce(Result<Committed, CommitError>) + Send + 'static,
    ) {
        let (writing, noted) = (self.writing.clone(), entries.clone());
        let done = move |end: Result<Committed, CommitError>| {
            if let Ok(committed) = end {
                writing.note(noted, committed);
            }
            done(end);
        };
        self.log.commit(entries, Box::new(done));
    }
}

#[async_trait]
impl Log for WatchedLog {
    async fn bounds(&self) -> Result<Bounds, ReadError> {
        self.log.bounds().await
    }

    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        self.log.read(from, subjects, part).await
    }

    fn commit(&self, entries: Vec<NewEntry>, done: Done) {
        if let Some(unanswered) = self.unanswered().as_mut() {
            unanswered.push(done);
            return;
        }
        let number = self.writing.number(&entries);
        let Some(Cut { fate, .. }) = self.cut.filter(|cut| cut.commit == number) else {
            return self.write(entries, done);
        };
        *self.unanswered() = Some(vec![done]);
        match fate {
            Fate::Lost => {}
            Fate::Unheard => self.write(entries, drop),
            Fate::Late => self.writing.written().late = Some(entries),
        }
        self.is_cut.notify_one();
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.log.last(subject).await
    }

    async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ReadError> {
        self.log.at(position, part).await
    }

    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        self.log.last_of_each(subjects, part, limit).await
    }

    async fn remove(&self, subjects: &Pattern, last: Position) -> Result<(), ReadError> {
        self.log.remove(subjects, last).await
    }

    fn max_entry_bytes(&self) -> usize {
        self.log.max_entry_bytes()
    }
}
