//! Where commits are handed over.
//!
//! They are written in the order of their calls, without waiting for one before the next is sent.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_nats::message::OutboundMessage;
use tokio::sync::mpsc;
use waxwing_engine::port::log::{CommitError, Done, NewEntry};

use super::{
    group::{Fenced, fences},
    line::Line,
    message,
    promise::Promise,
    writer::write_all,
};

/// A commit before it is sent.
pub(super) enum Work {
    /// To be sent as it is.
    Ready(Vec<OutboundMessage>, Promise),
    /// To wait for those with the same fence.
    Fenced(Fenced),
}

impl Work {
    /// Ends it unsent.
    pub(super) fn lost(self, why: &str) {
        match self {
            Work::Ready(_, promise) => promise.lost(why),
            Work::Fenced(commit) => commit.lost(why),
        }
    }
}

/// What the pipeline and its task share.
#[derive(Debug)]
pub(super) struct Shared {
    /// True where fenced commits have to wait for each other.
    pub(super) replicated: AtomicBool,
    batch_prefix: String,
    batches: AtomicU64,
}

impl Shared {
    /// The messages of a commit, which has at least one entry.
    pub(super) fn messages(&self, mut entries: Vec<NewEntry>) -> Vec<OutboundMessage> {
        match (entries.len(), entries.pop()) {
            (1, Some(entry)) => vec![message::single(entry)],
            (_, last) => {
                entries.extend(last);
                message::batch(entries, &self.next_batch())
            }
        }
    }

    /// A name for a batch: no other has it, whatever other host writes to the stream.
    fn next_batch(&self) -> String {
        format!("{}-{}", self.batch_prefix, self.batches.fetch_add(1, Ordering::Relaxed))
    }
}

/// Hands commits over to the task that writes them.
#[derive(Debug)]
pub(super) struct Pipeline {
    queue: mpsc::UnboundedSender<Work>,
    shared: Arc<Shared>,
}

impl Pipeline {
    /// Starts the task. It ends when the pipeline is dropped and the last commit has come to its end.
    pub(super) fn start(line: Arc<Line>, replicas: usize) -> Pipeline {
        let (queue, commits) = mpsc::unbounded_channel();
        let inbox = line.current().client().new_inbox();
        let shared = Arc::new(Shared {
            replicated: AtomicBool::new(replicas > 1),
            batch_prefix: inbox.rsplit('.').next().unwrap_or(&inbox).to_owned(),
            batches: AtomicU64::new(0),
        });
        tokio::spawn(write_all(line, commits, shared.clone()));
        Pipeline { queue, shared }
    }

    /// Hands a commit over whose form has been checked.
    pub(super) fn write(&self, entries: Vec<NewEntry>, done: Done) {
        let promise = Promise::new(done);
        if entries.is_empty() {
            return promise.end(Err(CommitError::Invalid("a commit has no entries".to_owned())));
        }
        let replicated = self.shared.replicated.load(Ordering::Relaxed);
        let fences = if replicated { fences(&entries) } else { Vec::new() };
        let work = match fences.is_empty() {
            true => Work::Ready(self.shared.messages(entries), promise),
            false => Work::Fenced(Fenced::new(fences, entries, promise)),
        };
        // Where the task is gone, the promise is dropped and so told.
        drop(self.queue.send(work));
    }
}
