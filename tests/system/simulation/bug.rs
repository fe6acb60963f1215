//! Planted bugs: a layer between engine and log that breaks one promise. The simulation must find each.

use std::sync::Arc;

use async_trait::async_trait;
use waxwing_engine::{
    entry::{dead, mark, tombstone},
    port::{
        Log,
        log::{Bounds, Committed, Done, Entry, NewEntry, Part, ReadError, Reader},
    },
};
use waxwing_event::{Headers, Pattern, Position, Subject};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Commits do not expect their partition's lease to stand.
    SkipTheFence,
    /// Entries do not say which input they handle.
    DropMarks,
    /// Dead letters alone do not say it.
    DropMarksOfDeadLetters,
    /// Marks tell of their own input, and not of what else was handled.
    ForgetWhatElseWasHandled,
    /// Of a commit of several entries the first half is written.
    CommitHalf,
    /// A commit of several entries is written in two halves, one after the other.
    CommitInHalves,
    /// One of the parked events of a handler is not found when a host takes over.
    ForgetAParkedEvent,
    /// A parked event that has had its effects stays parked.
    LeaveParkedWhatIsDone,
    /// Dead letters do not hold their key.
    LetKeysGo,
    /// Events of one key run beside each other. (Planted in the handler's description.)
    ForgetTheKey,
    /// A state that was loaded once is loaded from a replica that stands still.
    ReadStaleState,
}

impl Bug {
    pub const ALL: [Bug; 11] = [
        Bug::SkipTheFence,
        Bug::DropMarks,
        Bug::DropMarksOfDeadLetters,
        Bug::ForgetWhatElseWasHandled,
        Bug::CommitHalf,
        Bug::CommitInHalves,
        Bug::ForgetAParkedEvent,
        Bug::LeaveParkedWhatIsDone,
        Bug::LetKeysGo,
        Bug::ForgetTheKey,
        Bug::ReadStaleState,
    ];
}

/// A log with a bug.
pub struct Buggy {
    pub bug: Bug,
    pub log: Arc<dyn Log>,
    pub stale: std::sync::Mutex<std::collections::BTreeMap<Subject, Option<Entry>>>,
}

impl Buggy {
    pub fn new(bug: Bug, log: Arc<dyn Log>) -> Buggy {
        Buggy { bug, log, stale: std::sync::Mutex::default() }
    }

    fn spoil(&self, entry: &mut NewEntry) {
        let subject = entry.subject.as_str();
        let is_dead_letter = subject.contains(".dead.");
        let fenced = |entry: &NewEntry| {
            let of = entry.expect.as_ref().and_then(|expect| expect.subject.as_ref());
            of.is_some_and(|subject| subject.as_str().contains(".lease."))
        };
        match self.bug {
            Bug::SkipTheFence if fenced(entry) => entry.expect = None,
            Bug::DropMarks => change_mark(entry, |_| None),
            Bug::DropMarksOfDeadLetters if is_dead_letter => change_mark(entry, |_| None),
            Bug::ForgetWhatElseWasHandled => change_mark(entry, |mark| {
                let words: Vec<&str> = mark.split(' ').take(4).collect();
                Some(format!("{} 0", words.join(" ")))
            }),
            Bug::LetKeysGo if is_dead_letter => {
                change_header(entry, dead::HEADER, |about| Some(about.replace(r#","holdsKey":true"#, "")))
            }
            _ => {}
        }
    }
}

fn change_mark(entry: &mut NewEntry, change: impl Fn(&str) -> Option<String>) {
    change_header(entry, mark::HEADER, change);
}

fn change_header(entry: &mut NewEntry, header: &str, change: impl Fn(&str) -> Option<String>) {
    let mut headers = Headers::new();
    for (name, value) in std::mem::take(&mut entry.headers).into_pairs() {
        if name != header {
            headers.push(name, value);
        } else if let Some(changed) = change(&value) {
            headers.push(name, changed);
        }
    }
    entry.headers = headers;
}

#[async_trait]
impl Log for Buggy {
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

    fn commit(&self, mut entries: Vec<NewEntry>, done: Done) {
        if self.bug == Bug::LeaveParkedWhatIsDone && entries.len() > 1 {
            let stays = |entry: &NewEntry| {
                entry.subject.as_str().contains(".parked.") && entry.headers.get(tombstone::HEADER).is_some()
            };
            entries.retain(|entry| !stays(entry));
        }
        entries.iter_mut().for_each(|entry| self.spoil(entry));
        let count = entries.len();
        let half = count / 2;
        match self.bug {
            Bug::CommitHalf if count > 1 => {
                entries.truncate(half);
                let missing = (count - half) as u64;
                let whole = move |end: Committed| Committed { last: Position(end.last.0 + missing) };
                self.log.commit(entries, Box::new(move |end| done(end.map(whole))));
            }
            Bug::CommitInHalves if count > 1 => {
                let (log, rest) = (self.log.clone(), entries.split_off(half));
                let then = move |end: Result<Committed, _>| match end {
                    Ok(_) => log.commit(rest, done),
                    Err(error) => done(Err(error)),
                };
                self.log.commit(entries, Box::new(then));
            }
            _ => self.log.commit(entries, done),
        }
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        let entry = self.log.last(subject).await?;
        if self.bug == Bug::ReadStaleState && subject.as_str().contains(".state.") {
            return Ok(self.stale.lock().unwrap().entry(subject.clone()).or_insert(entry).clone());
        }
        Ok(entry)
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
        let mut entries = self.log.last_of_each(subjects, part, limit).await?;
        if self.bug == Bug::ForgetAParkedEvent && subjects.as_str().contains(".parked.") {
            entries.pop();
        }
        Ok(entries)
    }

    async fn remove(&self, subjects: &Pattern, up_to: Position) -> Result<(), ReadError> {
        self.log.remove(subjects, up_to).await
    }

    fn max_entry_bytes(&self) -> usize {
        self.log.max_entry_bytes()
    }
}
