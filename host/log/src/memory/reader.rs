//! Reads a log in memory.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use waxwing_engine::port::log::{Entry, Part, ReadError, Reader};
use waxwing_event::{Pattern, Position};

use super::Shared;

/// A place in the log, and what is read there.
pub(super) struct MemoryReader {
    log: Arc<Shared>,
    grown: watch::Receiver<Position>,
    next: Position,
    subjects: Vec<Pattern>,
    part: Part,
}

impl MemoryReader {
    pub(super) fn new(log: Arc<Shared>, from: Position, subjects: Vec<Pattern>, part: Part) -> MemoryReader {
        let grown = log.grown.subscribe();
        MemoryReader { log, grown, next: from, subjects, part }
    }

    fn take(&mut self, max: usize) -> Vec<Entry> {
        let (entries, next) = self.log.store().read(self.next, &self.subjects, self.part, max);
        self.next = next;
        entries
    }
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        loop {
            // Seen before the look, so that a commit between look and wait ends the wait.
            self.grown.borrow_and_update();
            let entries = self.take(max.max(1));
            if !entries.is_empty() {
                return Ok(entries);
            }
            // The sender lives in the log, which this reader holds.
            let _ = self.grown.changed().await;
        }
    }
}
