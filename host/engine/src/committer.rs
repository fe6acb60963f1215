//! The committer: writes what runs did.
//!
//! One entry goes out at once, as a single publish; these pipeline. Several entries need an atomic batch,
//! which costs a log on file storage about the same whatever its size and is written one at a time: so while
//! one batch is under way, what gets ready is gathered for the next (group commit). A large one is sent while
//! the one before is still being written, so that the log need not wait for it.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use waxwing_event::{Position, Subject};

use crate::{
    lease::Held,
    plan,
    port::{
        Log, Observe,
        log::{CommitError, Committed, NewEntry},
        observe::Commit,
    },
};

/// The most entries that are gathered into one batch; one run alone may have more.
pub const MAX_GROUP_ENTRIES: usize = 900;

/// So many entries are sent as a second group while a first one is under way.
pub const SECOND_GROUP_ENTRIES: usize = 256;

/// The most bytes that are gathered into one batch; one run alone may have more.
pub const MAX_GROUP_BYTES: usize = 8 << 20;

/// The entries of one run, and the lease under which they are written.
pub struct Work {
    /// At least one.
    pub entries: Vec<NewEntry>,
    /// The subject of the partition's lease.
    pub lease: Subject,
    /// The lease's position: the fence.
    pub fence: Position,
    /// True where they are refused if somebody else was faster, without a fault of anybody: such runs share no batch
    /// with others.
    pub may_conflict: bool,
    /// Hears of the end, with the position of the last of these entries. Must not block.
    pub done: Box<dyn FnOnce(Result<Committed, CommitError>) + Send>,
}

impl Work {
    /// Entries under this lease.
    pub fn under(
        held: &Held,
        entries: Vec<NewEntry>,
        done: Box<dyn FnOnce(Result<Committed, CommitError>) + Send>,
    ) -> Work {
        Work { entries, lease: held.subject.clone(), fence: held.fence, may_conflict: false, done }
    }
}

/// Writes the commits of all partitions of an app on this host.
#[derive(Clone)]
pub struct Committer {
    shared: Arc<Shared>,
}

struct Shared {
    log: Arc<dyn Log>,
    observe: Arc<dyn Observe>,
    groups: Mutex<Groups>,
}

#[derive(Default)]
struct Groups {
    waiting: VecDeque<Work>,
    waiting_entries: usize,
    /// Groups under way: at most two.
    under_way: usize,
    /// How many runs are still written alone, because a group of so many failed by the fault of one.
    alone: usize,
}

impl Groups {
    /// A run is ready; gives the group that goes now, if one does.
    fn add(&mut self, work: Work) -> Option<Vec<Work>> {
        self.waiting_entries += work.entries.len();
        self.waiting.push_back(work);
        self.begin()
    }

    /// A group has ended; gives the next. `apart`: so many runs are now written alone.
    fn next(&mut self, apart: usize) -> Option<Vec<Work>> {
        self.under_way = self.under_way.saturating_sub(1);
        self.alone = self.alone.max(apart);
        self.begin()
    }

    fn begin(&mut self) -> Option<Vec<Work>> {
        let may_begin = match self.under_way {
            0 => !self.waiting.is_empty(),
            1 => self.alone == 0 && self.waiting_entries >= SECOND_GROUP_ENTRIES,
            _ => false,
        };
        if !may_begin {
            return None;
        }
        let count = if self.alone > 0 { 1 } else { self.fitting() };
        self.alone = self.alone.saturating_sub(1);
        self.under_way += 1;
        let group: Vec<Work> = self.waiting.drain(..count).collect();
        self.waiting_entries -= group.iter().map(|work| work.entries.len()).sum::<usize>();
        Some(group)
    }

    /// How many of those that wait fit into one group: at least one.
    fn fitting(&self) -> usize {
        let (mut entries, mut bytes) = (0, 0);
        let may_conflict = self.waiting.front().is_some_and(|work| work.may_conflict);
        // Of two that write the same in one batch, the log takes neither.
        let mut written = HashSet::new();
        let mut is_apart = |work: &&Work| {
            !may_conflict
                || work.entries.iter().filter(|e| e.rollup).all(|e| written.insert(e.subject.clone()))
        };
        let fits = |work: &&Work| {
            entries += work.entries.len();
            bytes += work.entries.iter().map(|e| e.payload.len() + e.headers.size_bytes()).sum::<usize>();
            entries <= MAX_GROUP_ENTRIES && bytes <= MAX_GROUP_BYTES
        };
        self.waiting
            .iter()
            .take_while(|work| work.may_conflict == may_conflict)
            .take_while(|work| is_apart(work))
            .take_while(fits)
            .count()
            .max(1)
    }
}

impl Committer {
    /// A committer on this log, of whose commits an observer hears.
    pub fn new(log: Arc<dyn Log>, observe: Arc<dyn Observe>) -> Committer {
        Committer { shared: Arc::new(Shared { log, observe, groups: Mutex::default() }) }
    }

    /// Writes a run's entries in one atomic step.
    pub fn submit(&self, work: Work) {
        if work.entries.len() == 1 {
            return self.shared.write(vec![work], settle);
        }
        let group = self.shared.lock().add(work);
        if let Some(group) = group {
            self.shared.clone().write_group(group);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a group; when it has ended, the next one begins.
    fn write_group(self: Arc<Self>, group: Vec<Work>) {
        let shared = self.clone();
        self.write(group, move |end, works| {
            let count = works.len();
            let at_fault = count > 1 && matches!(end, Err(CommitError::Refused(_) | CommitError::Invalid(_)));
            settle(if at_fault { end.map_err(spare_the_others) } else { end }, works);
            let next = shared.lock().next(if at_fault { count } else { 0 });
            if let Some(group) = next {
                shared.write_group(group);
            }
        });
    }

    /// Hands the entries of these runs to the log as one commit, each with its fence.
    fn write(
        &self,
        works: Vec<Work>,
        ended: impl FnOnce(Result<Committed, CommitError>, Vec<Closing>) + Send + 'static,
    ) {
        let mut entries = Vec::with_capacity(works.iter().map(|work| work.entries.len()).sum());
        let mut closing = Vec::with_capacity(works.len());
        for mut work in works {
            plan::fence(&mut work.entries, &work.lease, work.fence);
            entries.append(&mut work.entries);
            closing.push(Closing { ends_at: entries.len(), done: work.done });
        }
        let (observe, begun) = (self.observe.clone(), Instant::now());
        let done = move |end: Result<Committed, CommitError>| {
            if end.is_ok() {
                let entries = closing.last().map_or(0, |last| last.ends_at);
                observe.committed(&Commit { runs: closing.len(), entries, elapsed: begun.elapsed() });
            }
            ended(end, closing);
        };
        self.log.commit(entries, Box::new(done));
    }
}

/// A run whose entries have been handed over as part of a commit.
struct Closing {
    /// How many entries of the commit lie up to and with its last one.
    ends_at: usize,
    done: Box<dyn FnOnce(Result<Committed, CommitError>) + Send>,
}

fn settle(end: Result<Committed, CommitError>, works: Vec<Closing>) {
    let total = works.last().map_or(0, |closing| closing.ends_at);
    for Closing { ends_at, done } in works {
        let after = total.saturating_sub(ends_at) as u64;
        done(
            end.clone().map(|committed| Committed { last: Position(committed.last.0.saturating_sub(after)) }),
        );
    }
}

/// Nothing of the group was written, and most of its runs are not at fault: they are run again and written
/// alone, so that the one at fault shows.
fn spare_the_others(error: CommitError) -> CommitError {
    match error {
        CommitError::Invalid(why) => {
            CommitError::Unavailable(format!("another run of the same batch failed: {why}"))
        }
        other => other,
    }
}
