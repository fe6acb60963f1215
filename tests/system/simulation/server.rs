//! The server: the log in memory, which can be away, and the history of all that was ever written to it.

use std::sync::{Arc, Mutex, MutexGuard};

use jiff::SignedDuration;
use waxwing_engine::{
    entry::tombstone,
    port::{
        Log,
        log::{CommitError, Committed, Entry, NewEntry},
    },
};
use waxwing_event::{Pattern, Position};
use waxwing_log::memory::{self, MemoryLog};

use super::{
    clock::{VirtualClock, WallClock},
    gate::Gate,
    trace::{Seen, Trace},
};

/// The most bytes of an entry: small, so that a handler can emit too much.
pub const MAX_ENTRY_BYTES: usize = 20_000;

/// The server. Clones are the same.
#[derive(Clone)]
pub struct Server {
    pub log: MemoryLog,
    trace: Trace,
    history: Arc<Mutex<Vec<Vec<Entry>>>>,
    here: Arc<Gate>,
}

impl Server {
    /// A server whose log keeps these subjects and `wx.>`.
    pub fn new(time: VirtualClock, trace: Trace, subjects: &[Pattern]) -> Server {
        let mut subjects = subjects.to_vec();
        subjects.push("wx.>".parse().unwrap());
        let options = memory::Options { subjects, max_entry_bytes: MAX_ENTRY_BYTES, retention: None };
        let clock = WallClock { time, wrong_by: SignedDuration::ZERO };
        let log = MemoryLog::with_options(Arc::new(clock), options);
        Server { log, trace, history: Arc::default(), here: Arc::default() }
    }

    /// A commit has arrived.
    pub fn commit(&self, who: &str, entries: Vec<NewEntry>) -> Result<Committed, CommitError> {
        let shown = shown(&entries);
        let copies = entries.clone();
        let end: Arc<Mutex<Option<Result<Committed, CommitError>>>> = Arc::default();
        let told = end.clone();
        // The log in memory answers within the call.
        self.log.commit(entries, Box::new(move |end| *told.lock().unwrap() = Some(end)));
        let end = end.lock().unwrap().take().unwrap();
        match &end {
            Ok(committed) => {
                self.trace.note(who, format_args!("writes {shown} at {}", committed.last));
                self.keep(copies, committed.last);
            }
            Err(error) => self.trace.note(who, format_args!("is refused {shown}: {error}")),
        }
        end
    }

    fn keep(&self, entries: Vec<NewEntry>, last: Position) {
        self.count(&entries);
        let first = last.0 + 1 - entries.len() as u64;
        let stored = entries.into_iter().zip(first..).map(|(entry, position)| Entry {
            position: Position(position),
            subject: entry.subject,
            headers: entry.headers,
            payload: entry.payload,
            time: jiff::Timestamp::UNIX_EPOCH,
        });
        self.history().push(stored.collect());
    }

    fn count(&self, entries: &[NewEntry]) {
        if entries.len() > 1 {
            self.trace.count(Seen::Batch);
        }
        for entry in entries {
            let subject = entry.subject.as_str();
            if entry.headers.get(tombstone::HEADER).is_some() {
                continue;
            }
            if subject.contains(".dead.") {
                self.trace.count(Seen::DeadLetter);
            } else if subject.contains(".parked.") {
                self.trace.count(Seen::Parked);
            } else if subject.contains(".outage.") {
                self.trace.count(Seen::Outage);
            } else if subject.contains(".lease.") {
                let history = self.history();
                let before = history.iter().rev().flatten().find(|before| before.subject == entry.subject);
                if before.is_some_and(|before| before.payload != entry.payload) {
                    self.trace.count(Seen::LeaseChangedHands);
                }
            }
        }
    }

    /// All that was ever written, commit by commit, also what has been replaced.
    pub fn history(&self) -> MutexGuard<'_, Vec<Vec<Entry>>> {
        self.history.lock().unwrap()
    }

    /// The last position.
    pub fn last(&self) -> Position {
        let history = self.history();
        history.last().and_then(|commit| commit.last()).map_or(Position::NONE, |entry| entry.position)
    }

    pub fn is_here(&self) -> bool {
        self.here.is_open()
    }

    pub async fn is_back(&self) {
        self.here.pass().await;
    }

    /// What it has stays.
    pub fn goes_away(&self) {
        self.trace.note("log", format_args!("goes away"));
        self.trace.count(Seen::ServerAway);
        self.here.shut();
    }

    pub fn comes_back(&self) {
        self.trace.note("log", format_args!("is back"));
        self.here.open();
    }
}

/// A commit in a few words.
pub fn shown(entries: &[NewEntry]) -> String {
    let words = entries.iter().map(|entry| {
        let subject = entry.subject.as_str();
        let mark = entry.headers.get("wx-mark").map(|mark| format!(" ({mark})"));
        let expects = entry.expect.as_ref().map(|expect| format!(" [{}]", expect.last));
        format!("{subject}{}{}", mark.unwrap_or_default(), expects.unwrap_or_default())
    });
    words.collect::<Vec<_>>().join(", ")
}
