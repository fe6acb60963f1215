//! Where fenced commits on a replicated stream wait for their turn.
//!
//! A stream with replicas checks an expectation before it agrees on an entry, and refuses a second message
//! about the same subject while the first is under way (10164). So of the commits that share a fence one is
//! sent at a time; those that come meanwhile wait here in their order and go on together, as one batch.
//! If such a group is refused, each of its commits is sent alone, so that only those fail that must.

use std::collections::{HashMap, VecDeque};

use waxwing_event::Subject;

use super::group::{Fence, Fenced, Group};

/// Commits by the order in which they came, and a lane for each fence.
#[derive(Default)]
pub(super) struct Gate {
    waiting: HashMap<u64, Fenced>,
    lanes: HashMap<Subject, Lane>,
    last_number: u64,
}

/// Commits with the same fence, oldest first. A commit with several fences stands in several lanes, and its
/// turn comes when it is the first in all of them: the oldest of all always is.
#[derive(Default)]
struct Lane {
    numbers: VecDeque<u64>,
    busy: bool,
}

impl Gate {
    /// Takes a commit in, behind those with the same fence.
    pub(super) fn push(&mut self, commit: Fenced) {
        let number = self.number();
        for fence in &commit.fences {
            self.lanes.entry(fence.subject.clone()).or_default().numbers.push_back(number);
        }
        self.waiting.insert(number, commit);
    }

    /// The next group of a fence, if its turn has come.
    pub(super) fn next(&mut self, subject: &Subject) -> Option<Group> {
        let mut group = Group::new(self.take(subject, |_| true)?);
        while let Some(commit) = self.take(subject, |commit| group.takes(commit)) {
            group.add(commit);
        }
        for fence in group.fences() {
            if let Some(lane) = self.lanes.get_mut(&fence.subject) {
                lane.busy = true;
            }
        }
        Some(group)
    }

    /// A group has come to its end; those that are to be tried alone come before all that wait.
    pub(super) fn landed(&mut self, fences: &[Fence], alone: Vec<Fenced>) {
        for commit in alone.into_iter().rev() {
            let number = self.number();
            for fence in &commit.fences {
                self.lanes.entry(fence.subject.clone()).or_default().numbers.push_front(number);
            }
            self.waiting.insert(number, commit);
        }
        for fence in fences {
            let Some(lane) = self.lanes.get_mut(&fence.subject) else { continue };
            lane.busy = false;
            if lane.numbers.is_empty() {
                self.lanes.remove(&fence.subject);
            }
        }
    }

    /// Takes out all that wait.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Fenced> {
        self.lanes.clear();
        std::mem::take(&mut self.waiting).into_values()
    }

    /// True where nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the first of a lane out of all its lanes, if it is the first in all, none of them is busy, and
    /// it is `wanted`.
    fn take(&mut self, subject: &Subject, wanted: impl Fn(&Fenced) -> bool) -> Option<Fenced> {
        let number = *self.lanes.get(subject)?.numbers.front()?;
        let commit = self.waiting.get(&number)?;
        let is_its_turn = |fence: &Fence| {
            let lane = self.lanes.get(&fence.subject);
            lane.is_some_and(|lane| !lane.busy && lane.numbers.front() == Some(&number))
        };
        if !(commit.fences.iter().all(is_its_turn) && wanted(commit)) {
            return None;
        }
        let commit = self.waiting.remove(&number)?;
        for fence in &commit.fences {
            if let Some(lane) = self.lanes.get_mut(&fence.subject) {
                lane.numbers.pop_front();
            }
        }
        Some(commit)
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use waxwing_engine::port::log::{CommitError, Committed, Expect, NewEntry};
    use waxwing_event::Position;

    use super::{
        super::{group::fences, promise::Promise},
        *,
    };

    type Ends = Arc<Mutex<Vec<Result<Committed, CommitError>>>>;

    fn entry(subject: &str, of: Option<(&str, u64)>) -> NewEntry {
        let expect = of.map(|(of, last)| Expect { subject: Some(of.parse().unwrap()), last: Position(last) });
        NewEntry { expect, ..NewEntry::new(subject.parse().unwrap(), "x") }
    }

    fn own(subject: &str) -> NewEntry {
        NewEntry { expect: Some(Expect { subject: None, last: Position(0) }), ..entry(subject, None) }
    }

    /// An entry that is fenced by the lease `l`, at this position.
    fn fenced(subject: &str, last: u64) -> NewEntry {
        entry(subject, Some(("l", last)))
    }

    fn commit(ends: &Ends, entries: Vec<NewEntry>) -> Fenced {
        let ends = ends.clone();
        let promise = Promise::new(Box::new(move |end| ends.lock().unwrap().push(end)));
        Fenced::new(fences(&entries), entries, promise)
    }

    fn lease(name: &str) -> Subject {
        name.parse().unwrap()
    }

    fn subjects(group: &Group) -> Vec<String> {
        group.entries().iter().map(|entry| entry.subject.to_string()).collect()
    }

    /// Takes one group and lets it land.
    fn step(gate: &mut Gate, lane: &str) -> Option<Vec<String>> {
        let group = gate.next(&lease(lane))?;
        gate.landed(group.fences(), Vec::new());
        Some(subjects(&group))
    }

    #[test]
    fn finds_fences_and_no_own_expectations() {
        let fence = |of: &str, last| Fence { subject: lease(of), last: Position(last) };
        let both = [own("a"), fenced("b", 3), fenced("c", 3), entry("d", Some(("m", 1)))];
        assert_eq!(fences(&both), [fence("l", 3), fence("m", 1)]);
        assert_eq!(fences(&[own("a"), entry("b", Some(("b", 1)))]), []);
    }

    #[test]
    fn sends_one_group_at_a_time_and_says_the_fence_once() {
        let (mut gate, ends) = (Gate::default(), Ends::default());
        gate.push(commit(&ends, vec![fenced("a", 3)]));
        let first = gate.next(&lease("l")).unwrap();
        gate.push(commit(&ends, vec![fenced("b", 3)]));
        gate.push(commit(&ends, vec![entry("b", None), fenced("b", 3)]));
        assert!(gate.next(&lease("l")).is_none());
        let its_fences = first.fences().to_vec();
        assert!(first.end(Ok(Committed { last: Position(7) })).is_empty());
        gate.landed(&its_fences, Vec::new());
        let second = gate.next(&lease("l")).unwrap();
        let expects: Vec<bool> = second.entries().iter().map(|e| e.expect.is_some()).collect();
        assert_eq!(expects, [true, false, false]);
        second.end(Ok(Committed { last: Position(12) }));
        let positions: Vec<u64> =
            ends.lock().unwrap().iter().map(|end| end.as_ref().unwrap().last.0).collect();
        assert_eq!(positions, [7, 10, 12]);
        gate.landed(&its_fences, Vec::new());
        assert!(gate.next(&lease("l")).is_none() && gate.is_empty() && gate.lanes.is_empty());
    }

    #[test]
    fn keeps_apart_what_a_batch_cannot_hold() {
        let (mut gate, ends) = (Gate::default(), Ends::default());
        for entries in [vec![fenced("a", 3)], vec![own("a"), fenced("b", 3)], vec![fenced("c", 4)]] {
            gate.push(commit(&ends, entries));
        }
        assert_eq!(step(&mut gate, "l").unwrap(), ["a"]);
        assert_eq!(step(&mut gate, "l").unwrap(), ["a", "b"]);
        assert_eq!(step(&mut gate, "l").unwrap(), ["c"]);
    }

    #[test]
    fn a_commit_with_two_fences_waits_for_both_and_is_not_overtaken() {
        let (mut gate, ends) = (Gate::default(), Ends::default());
        gate.push(commit(&ends, vec![fenced("a", 3)]));
        gate.push(commit(&ends, vec![fenced("b", 3), entry("c", Some(("m", 1)))]));
        gate.push(commit(&ends, vec![entry("d", Some(("m", 1)))]));
        let first = gate.next(&lease("l")).unwrap();
        assert_eq!(subjects(&first), ["a"]);
        assert!(gate.next(&lease("l")).is_none() && gate.next(&lease("m")).is_none());
        gate.landed(first.fences(), Vec::new());
        let second = gate.next(&lease("m")).unwrap();
        // What came later and has no other fence goes along.
        assert_eq!(subjects(&second), ["b", "c", "d"]);
        assert!(gate.is_empty());
    }

    #[test]
    fn tries_the_commits_of_a_refused_group_alone_and_first() {
        let (mut gate, ends) = (Gate::default(), Ends::default());
        for subject in ["a", "b"] {
            gate.push(commit(&ends, vec![fenced(subject, 3)]));
        }
        let group = gate.next(&lease("l")).unwrap();
        gate.push(commit(&ends, vec![fenced("c", 3)]));
        let its_fences = group.fences().to_vec();
        let alone = group.end(Err(CommitError::Refused("no".to_owned())));
        gate.landed(&its_fences, alone);
        for subject in ["a", "b", "c"] {
            let group = gate.next(&lease("l")).unwrap();
            assert_eq!(subjects(&group), [subject]);
            assert!(group.end(Err(CommitError::Refused("no".to_owned()))).is_empty());
            gate.landed(&its_fences, Vec::new());
        }
        assert_eq!(ends.lock().unwrap().len(), 3);
    }
}
