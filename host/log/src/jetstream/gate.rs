//! Fenced commits on a replicated stream, which takes only one at a time about the same fence.
//!
//! A stream with replicas checks an expectation before it agrees on an entry, and refuses a second message
//! about the same subject while the first is under way (10164). So of the commits that share a fence one is
//! sent at a time; those that come meanwhile wait here in their order and go on together, as one batch.
//! If such a group is refused, each of its commits is sent alone, so that only those fail that must.

use std::collections::{HashMap, HashSet, VecDeque};

use waxwing_engine::port::log::{CommitError, Committed, NewEntry};
use waxwing_event::{Position, Subject};

use super::promise::Promise;
use crate::form::expected_subject;

/// The most entries that go on together.
const MAX_GROUP_ENTRIES: usize = 500;
/// The most bytes that go on together, unless one commit alone has more.
const MAX_GROUP_BYTES: usize = 4 * 1024 * 1024;

/// What a commit expects of a subject that is not its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fence {
    pub(super) subject: Subject,
    pub(super) last: Position,
}

impl Fence {
    /// The fence of a commit, if it has one.
    pub(super) fn of(entries: &[NewEntry]) -> Option<Fence> {
        entries.iter().find_map(|entry| {
            let expect = entry.expect.as_ref()?;
            let subject = expect.subject.clone().filter(|subject| *subject != entry.subject)?;
            Some(Fence { subject, last: expect.last })
        })
    }
}

/// A commit with a fence.
pub(super) struct Fenced {
    pub(super) fence: Fence,
    pub(super) entries: Vec<NewEntry>,
    pub(super) promise: Promise,
    alone: bool,
}

impl Fenced {
    pub(super) fn new(fence: Fence, entries: Vec<NewEntry>, promise: Promise) -> Fenced {
        Fenced { fence, entries, promise, alone: false }
    }
}

/// Commits that are sent together.
pub(super) struct Group {
    commits: Vec<Fenced>,
}

impl Group {
    /// The subject of their fence.
    pub(super) fn subject(&self) -> Option<&Subject> {
        self.commits.first().map(|commit| &commit.fence.subject)
    }

    /// The entries of all, in order. The fence is said once, as it is the same for all.
    pub(super) fn entries(&self) -> Vec<NewEntry> {
        let mut entries: Vec<NewEntry> =
            self.commits.iter().flat_map(|commit| commit.entries.iter().cloned()).collect();
        let fence = self.subject().cloned();
        let mut said = false;
        for entry in &mut entries {
            let is_fence = entry.expect.as_ref().is_some_and(|expect| expect.subject == fence);
            if is_fence && std::mem::replace(&mut said, true) {
                entry.expect = None;
            }
        }
        entries
    }

    /// From here on all of them may have been written.
    pub(super) fn sent(&mut self) {
        self.commits.iter_mut().for_each(|commit| commit.promise.sent());
    }

    /// Tells each that no answer came.
    pub(super) fn lost(self, why: &str) {
        self.commits.into_iter().for_each(|commit| commit.promise.lost(why));
    }

    /// Tells each its end; gives back those that have to be tried alone.
    pub(super) fn end(self, end: Result<Committed, CommitError>) -> Vec<Fenced> {
        let many = self.commits.len() > 1;
        match end {
            Ok(committed) => self.committed(committed.last),
            Err(CommitError::Refused(_) | CommitError::Invalid(_)) if many => {
                return self.commits.into_iter().map(|commit| Fenced { alone: true, ..commit }).collect();
            }
            Err(error) => self.commits.into_iter().for_each(|commit| commit.promise.end(Err(error.clone()))),
        }
        Vec::new()
    }

    fn committed(self, last: Position) {
        let count = |commit: &Fenced| u64::try_from(commit.entries.len()).unwrap_or(u64::MAX);
        let mut position = last.0.saturating_sub(self.commits.iter().map(count).sum());
        for commit in self.commits {
            position = position.saturating_add(count(&commit));
            commit.promise.end(Ok(Committed { last: Position(position) }));
        }
    }
}

/// Where fenced commits wait for their turn.
#[derive(Default)]
pub(super) struct Gate {
    lanes: HashMap<Subject, Lane>,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Fenced>,
    busy: bool,
}

impl Gate {
    /// Takes a commit in, behind those with the same fence.
    pub(super) fn push(&mut self, commit: Fenced) {
        self.lanes.entry(commit.fence.subject.clone()).or_default().waiting.push_back(commit);
    }

    /// The next group of a fence, unless one is under way.
    pub(super) fn next(&mut self, subject: &Subject) -> Option<Group> {
        let lane = self.lanes.get_mut(subject)?;
        if lane.busy {
            return None;
        }
        let group = grouped(&mut lane.waiting);
        match group.commits.is_empty() {
            true => {
                self.lanes.remove(subject);
                None
            }
            false => {
                lane.busy = true;
                Some(group)
            }
        }
    }

    /// A group has come to its end; those that are to be tried alone come before all that wait.
    pub(super) fn landed(&mut self, subject: &Subject, alone: Vec<Fenced>) {
        let Some(lane) = self.lanes.get_mut(subject) else { return };
        lane.busy = false;
        alone.into_iter().rev().for_each(|commit| lane.waiting.push_front(commit));
    }

    /// Takes out all that wait.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Promise> {
        let lanes = std::mem::take(&mut self.lanes).into_values();
        lanes.flat_map(|lane| lane.waiting).map(|commit| commit.promise)
    }

    /// Subjects of fences for which something waits or is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// Takes as many as can go on together.
fn grouped(waiting: &mut VecDeque<Fenced>) -> Group {
    let (mut commits, mut written) = (Vec::<Fenced>::new(), HashSet::<Subject>::new());
    let (mut entries, mut bytes) = (0, 0);
    while let Some(next) = waiting.front() {
        entries += next.entries.len();
        bytes += next.entries.iter().map(|e| e.payload.len() + e.headers.size_bytes()).sum::<usize>();
        let fits = entries <= MAX_GROUP_ENTRIES && bytes <= MAX_GROUP_BYTES && !next.alone;
        let same_fence = commits.first().is_none_or(|first| first.fence == next.fence && !first.alone);
        let joins = fits && same_fence && expects_nothing_of(&written, next);
        if !(commits.is_empty() || joins) {
            break;
        }
        written.extend(next.entries.iter().map(|entry| entry.subject.clone()));
        commits.extend(waiting.pop_front());
    }
    Group { commits }
}

/// A batch must not expect anything of what it has itself written before.
fn expects_nothing_of(written: &HashSet<Subject>, commit: &Fenced) -> bool {
    let mut expected =
        commit.entries.iter().filter_map(|entry| Some(expected_subject(entry, entry.expect.as_ref()?)));
    expected.all(|subject| !written.contains(subject))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use waxwing_engine::port::log::Expect;

    use super::*;

    type Ends = Arc<Mutex<Vec<Result<Committed, CommitError>>>>;

    fn entry(subject: &str, of: Option<(&str, u64)>) -> NewEntry {
        let expect = of.map(|(of, last)| Expect { subject: Some(of.parse().unwrap()), last: Position(last) });
        NewEntry { expect, ..NewEntry::new(subject.parse().unwrap(), "x") }
    }

    fn own(subject: &str) -> NewEntry {
        NewEntry { expect: Some(Expect { subject: None, last: Position(0) }), ..entry(subject, None) }
    }

    fn commit(ends: &Ends, entries: Vec<NewEntry>) -> Fenced {
        let ends = ends.clone();
        let promise = Promise::new(Box::new(move |end| ends.lock().unwrap().push(end)));
        Fenced::new(Fence::of(&entries).unwrap(), entries, promise)
    }

    fn lease() -> Subject {
        "lease".parse().unwrap()
    }

    fn fenced(subject: &str, last: u64) -> NewEntry {
        entry(subject, Some(("lease", last)))
    }

    #[test]
    fn finds_the_fence_and_no_own_expectation() {
        assert_eq!(
            Fence::of(&[own("a"), fenced("b", 3)]),
            Some(Fence { subject: lease(), last: Position(3) })
        );
        assert_eq!(Fence::of(&[own("a"), entry("b", Some(("b", 1)))]), None);
    }

    #[test]
    fn sends_one_group_at_a_time_and_says_the_fence_once() {
        let (mut gate, ends) = (Gate::default(), Ends::default());
        gate.push(commit(&ends, vec![fenced("a", 3)]));
        let first = gate.next(&lease()).unwrap();
        gate.push(commit(&ends, vec![fenced("b", 3)]));
        gate.push(commit(&ends, vec![entry("b", None), fenced("b", 3)]));
        assert!(gate.next(&lease()).is_none());
        assert!(first.end(Ok(Committed { last: Position(7) })).is_empty());
        gate.landed(&lease(), Vec::new());
        let second = gate.next(&lease()).unwrap();
        let expects: Vec<bool> = second.entries().iter().map(|e| e.expect.is_some()).collect();
        assert_eq!(expects, [true, false, false]);
        second.end(Ok(Committed { last: Position(12) }));
        let positions: Vec<u64> =
            ends.lock().unwrap().iter().map(|end| end.as_ref().unwrap().last.0).collect();
        assert_eq!(positions, [7, 10, 12]);
        gate.landed(&lease(), Vec::new());
        assert!(gate.next(&lease()).is_none() && gate.is_empty());
    }

    #[test]
    fn keeps_apart_what_a_batch_cannot_hold() {
        let (mut gate, ends) = (Gate::default(), Ends::default());
        for entries in [vec![fenced("a", 3)], vec![own("a"), fenced("b", 3)], vec![fenced("c", 4)]] {
            gate.push(commit(&ends, entries));
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| {
            let group = gate.next(&lease())?;
            gate.landed(&lease(), Vec::new());
            Some(group.commits.len())
        })
        .collect();
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn tries_the_commits_of_a_refused_group_alone_and_first() {
        let (mut gate, ends) = (Gate::default(), Ends::default());
        for subject in ["a", "b"] {
            gate.push(commit(&ends, vec![fenced(subject, 3)]));
        }
        let group = gate.next(&lease()).unwrap();
        gate.push(commit(&ends, vec![fenced("c", 3)]));
        let alone = group.end(Err(CommitError::Refused("no".to_owned())));
        gate.landed(&lease(), alone);
        for subject in ["a", "b", "c"] {
            let group = gate.next(&lease()).unwrap();
            assert_eq!(group.entries().iter().map(|e| e.subject.as_str()).collect::<Vec<_>>(), [subject]);
            assert!(group.end(Err(CommitError::Refused("no".to_owned()))).is_empty());
            gate.landed(&lease(), Vec::new());
        }
        assert_eq!(ends.lock().unwrap().len(), 3);
    }
}
