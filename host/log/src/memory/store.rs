//! The entries of a log in memory, their index by subject and their times to live.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use waxwing_engine::port::log::{Bounds, CommitError, Entry, Keep, NewEntry, Part};
use waxwing_event::{Pattern, Position, Subject};

use crate::form::expected_subject;

/// All that a log holds.
pub(super) struct Store {
    retention: Option<Duration>,
    now: Timestamp,
    /// Entries from `first` on; none where one has gone.
    entries: VecDeque<Option<Entry>>,
    first: Position,
    /// Positions of each subject's entries, growing.
    subjects: HashMap<Subject, VecDeque<Position>>,
    expiries: BTreeSet<(Timestamp, Position)>,
}

impl Store {
    pub(super) fn new(retention: Option<Duration>) -> Store {
        Store {
            retention,
            now: Timestamp::UNIX_EPOCH,
            entries: VecDeque::new(),
            first: Position(1),
            subjects: HashMap::new(),
            expiries: BTreeSet::new(),
        }
    }

    /// Lets time go on to `now`, never back: what has expired by then is gone.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while let Some((at, position)) = self.expiries.first().copied() {
            if at > self.now {
                break;
            }
            self.expiries.pop_first();
            self.remove(position);
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { first: self.first, last: self.last_position() }
    }

    /// Writes all entries or none. Their form has been checked.
    pub(super) fn commit(&mut self, entries: Vec<NewEntry>) -> Result<Position, CommitError> {
        for entry in &entries {
            self.check_expectation(entry)?;
        }
        for entry in entries {
            self.append(entry);
        }
        Ok(self.last_position())
    }

    pub(super) fn last(&self, subject: &Subject) -> Option<Entry> {
        self.entry(self.last_of(subject)).cloned()
    }

    pub(super) fn at(&self, position: Position, part: Part) -> Option<Entry> {
        self.entry(position).map(|entry| part_of(entry, part))
    }

    pub(super) fn last_of_each(&self, pattern: &Pattern, part: Part, limit: usize) -> Vec<Entry> {
        let mut subjects: Vec<&Subject> =
            self.subjects.keys().filter(|s| pattern.matches(s.as_str())).collect();
        subjects.sort_unstable();
        subjects.truncate(limit);
        subjects.into_iter().filter_map(|s| self.entry(self.last_of(s))).map(|e| part_of(e, part)).collect()
    }

    /// Removes what matches up to and with `last`.
    pub(super) fn remove_up_to(&mut self, pattern: &Pattern, last: Position) {
        let matching = self.subjects.iter().filter(|(subject, _)| pattern.matches(subject.as_str()));
        let positions = matching.flat_map(|(_, positions)| positions).copied();
        let old: Vec<Position> = positions.filter(|position| *position <= last).collect();
        old.into_iter().for_each(|position| self.remove(position));
    }

    /// Up to `max` entries from `from` on, and where to read on.
    pub(super) fn read(
        &self,
        from: Position,
        only: &[Pattern],
        part: Part,
        max: usize,
    ) -> (Vec<Entry>, Position) {
        let mut found = Vec::new();
        let mut next = from.max(self.first);
        while found.len() < max && next <= self.last_position() {
            if let Some(entry) = self.entry(next)
                && (only.is_empty() || only.iter().any(|p| p.matches(entry.subject.as_str())))
            {
                found.push(part_of(entry, part));
            }
            next = next.next();
        }
        (found, next.max(from))
    }

    fn check_expectation(&self, entry: &NewEntry) -> Result<(), CommitError> {
        let Some(expect) = &entry.expect else { return Ok(()) };
        let subject = expected_subject(entry, expect);
        let last = self.last_of(subject);
        if last == expect.last {
            return Ok(());
        }
        let expected = expect.last;
        Err(CommitError::Refused(format!("the last entry of `{subject}` is {last}, expected was {expected}")))
    }

    fn append(&mut self, new: NewEntry) {
        if new.rollup {
            for position in self.subjects.remove(&new.subject).unwrap_or_default() {
                if let Some(slot) = self.slot(position) {
                    *slot = None;
                }
            }
        }
        let position = self.last_position().next();
        let life = match new.keep {
            Keep::Retention => self.retention,
            Keep::Forever => None,
            Keep::For(time) => Some(time),
        };
        if let Some(end) = life.and_then(|life| self.now.checked_add(life).ok()) {
            self.expiries.insert((end, position));
        }
        self.subjects.entry(new.subject.clone()).or_default().push_back(position);
        let NewEntry { subject, headers, payload, .. } = new;
        self.entries.push_back(Some(Entry { position, subject, headers, payload, time: self.now }));
        self.drop_gone();
    }

    fn remove(&mut self, position: Position) {
        let Some(entry) = self.slot(position).and_then(Option::take) else { return };
        if let Some(positions) = self.subjects.get_mut(&entry.subject) {
            if let Ok(at) = positions.binary_search(&position) {
                positions.remove(at);
            }
            if positions.is_empty() {
                self.subjects.remove(&entry.subject);
            }
        }
        self.drop_gone();
    }

    /// Moves `first` to the first entry that is still there.
    fn drop_gone(&mut self) {
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first = self.first.next();
        }
    }

    fn last_position(&self) -> Position {
        let held = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        Position(self.first.0.saturating_add(held)).previous()
    }

    fn last_of(&self, subject: &Subject) -> Position {
        self.subjects.get(subject).and_then(|p| p.back()).copied().unwrap_or(Position::NONE)
    }

    fn index(&self, position: Position) -> Option<usize> {
        usize::try_from(position.0.checked_sub(self.first.0)?).ok()
    }

    fn entry(&self, position: Position) -> Option<&Entry> {
        self.entries.get(self.index(position)?)?.as_ref()
    }

    fn slot(&mut self, position: Position) -> Option<&mut Option<Entry>> {
        let index = self.index(position)?;
        self.entries.get_mut(index)
    }
}

fn part_of(entry: &Entry, part: Part) -> Entry {
    match part {
        Part::Whole => entry.clone(),
        Part::Headers => Entry {
            position: entry.position,
            subject: entry.subject.clone(),
            headers: entry.headers.clone(),
            payload: Bytes::new(),
            time: entry.time,
        },
    }
}
