//! Reads a log in memory.

use std::sync::Arc;

use async_trait::async_trait;
use waxwing_engine::port::log::{Entry, Part, ReadError, Reader};
use waxwing_event::{Pattern, Position};

use super::Shared;

/// A place in the log, and what is read there.
pub(super) struct MemoryReader {
    log: Arc<Shared>,
    next: Position,
    subjects: Vec<Pattern>,
    part: Part,
}

impl MemoryReader {
    pub(super) fn new(log: Arc<Shared>, from: Position, subjects: Vec<Pattern>, part: Part) -> MemoryReader {
        MemoryReader { log, next: from, subjects, part }
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
        let log = self.log.clone();
        loop {
            // Listens before it looks, so that a commit between look and wait ends the wait.
            let grown = log.grown.notified();
            let entries = self.take(max.max(1));
            if !entries.is_empty() {
                return Ok(entries);
            }
            grown.await;
        }
    }
}
