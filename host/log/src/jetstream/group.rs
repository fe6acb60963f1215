//! Fenced commits that are sent as one batch.

use std::collections::HashSet;

use waxwing_engine::port::log::{CommitError, Committed, NewEntry};
use waxwing_event::{Position, Subject};

use super::promise::Promise;
use crate::form::expected_subject;

/// The most entries that go on together.
const MAX_ENTRIES: usize = 500;
/// The most bytes that go on together, unless one commit alone has more.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What a commit expects of a subject that is not its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fence {
    pub(super) subject: Subject,
    pub(super) last: Position,
}

/// The fences of a commit, each once.
pub(super) fn fences(entries: &[NewEntry]) -> Vec<Fence> {
    let mut fences = Vec::new();
    for fence in entries.iter().filter_map(fence_of) {
        if !fences.contains(&fence) {
            fences.push(fence);
        }
    }
    fences
}

fn fence_of(entry: &NewEntry) -> Option<Fence> {
    let expect = entry.expect.as_ref()?;
    let about = expected_subject(entry, expect);
    (*about != entry.subject).then(|| Fence { subject: about.clone(), last: expect.last })
}

/// A commit with fences.
pub(super) struct Fenced {
    pub(super) fences: Vec<Fence>,
    entries: Vec<NewEntry>,
    promise: Promise,
    alone: bool,
}

impl Fenced {
    pub(super) fn new(fences: Vec<Fence>, entries: Vec<NewEntry>, promise: Promise) -> Fenced {
        Fenced { fences, entries, promise, alone: false }
    }

    /// Ends it without an answer.
    pub(super) fn lost(self, why: &str) {
        self.promise.lost(why);
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.payload.len() + entry.headers.size_bytes()).sum()
    }

    fn count(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }
}

/// Commits that are sent together: at least one, whose fences cover those of all.
pub(super) struct Group {
    commits: Vec<Fenced>,
    fences: Vec<Fence>,
    written: HashSet<Subject>,
    bytes: usize,
}

impl Group {
    pub(super) fn new(first: Fenced) -> Group {
        let (fences, bytes) = (first.fences.clone(), first.bytes());
        let mut group = Group { commits: Vec::new(), fences, written: HashSet::new(), bytes };
        group.add(first);
        group
    }

    /// What it is fenced by.
    pub(super) fn fences(&self) -> &[Fence] {
        &self.fences
    }

    /// True where `next` can go on with these: a batch is not too large, and expects nothing of what it has
    /// itself written before.
    pub(super) fn takes(&self, next: &Fenced) -> bool {
        let entries: usize = self.commits.iter().map(|commit| commit.entries.len()).sum();
        let is_small = entries + next.entries.len() <= MAX_ENTRIES
            && self.bytes.saturating_add(next.bytes()) <= MAX_BYTES;
        let none_is_alone = !next.alone && self.commits.iter().all(|commit| !commit.alone);
        let covered = next.fences.iter().all(|fence| self.fences.contains(fence));
        let mut expected =
            next.entries.iter().filter_map(|entry| Some(expected_subject(entry, entry.expect.as_ref()?)));
        is_small && none_is_alone && covered && expected.all(|subject| !self.written.contains(subject))
    }

    pub(super) fn add(&mut self, commit: Fenced) {
        self.written.extend(commit.entries.iter().map(|entry| entry.subject.clone()));
        self.bytes = self.bytes.saturating_add(commit.bytes());
        self.commits.push(commit);
    }

    /// The entries of all, in order. Each fence is said once, as it is the same for all.
    pub(super) fn entries(&self) -> Vec<NewEntry> {
        let mut said = HashSet::new();
        let entries = self.commits.iter().flat_map(|commit| &commit.entries).cloned();
        let once = entries.map(|mut entry| {
            if fence_of(&entry).is_some_and(|fence| !said.insert(fence)) {
                entry.expect = None;
            }
            entry
        });
        once.collect()
    }

    /// From here on all of them may have been written.
    pub(super) fn sent(&mut self) {
        self.commits.iter_mut().for_each(|commit| commit.promise.sent());
    }

    /// Tells each that no answer came.
    pub(super) fn lost(self, why: &str) {
        self.commits.into_iter().for_each(|commit| commit.lost(why));
    }

    /// Tells each its end; gives back those that have to be tried alone.
    pub(super) fn end(self, end: Result<Committed, CommitError>) -> Vec<Fenced> {
        match end {
            Ok(committed) => self.committed(committed.last),
            Err(CommitError::Refused(_) | CommitError::Invalid(_)) if self.commits.len() > 1 => {
                return self.commits.into_iter().map(|commit| Fenced { alone: true, ..commit }).collect();
            }
            Err(error) => self.commits.into_iter().for_each(|commit| commit.promise.end(Err(error.clone()))),
        }
        Vec::new()
    }

    fn committed(self, last: Position) {
        let mut position = last.0.saturating_sub(self.commits.iter().map(Fenced::count).sum());
        for commit in self.commits {
            position = position.saturating_add(commit.count());
            commit.promise.end(Ok(Committed { last: Position(position) }));
        }
    }
}
