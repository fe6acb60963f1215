//! A log that holds back what it answers about some subjects until the test lets it go: for what happens in
//! between.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use waxwing_engine::port::{
    Log,
    log::{Bounds, Done, Entry, NewEntry, Part, ReadError, Reader},
};
use waxwing_event::{Pattern, Position, Subject};
use waxwing_log::memory::MemoryLog;

/// A log that holds answers back.
pub struct HeldLog {
    log: MemoryLog,
    about: Pattern,
    asked: Semaphore,
    released: Semaphore,
}

impl HeldLog {
    /// Holds back the last entries of these subjects.
    pub fn new(log: &MemoryLog, about: &str) -> Arc<HeldLog> {
        let [asked, released] = [0, 0].map(Semaphore::new);
        Arc::new(HeldLog { log: log.clone(), about: about.parse().unwrap(), asked, released })
    }

    /// Waits until an answer is held back.
    pub async fn asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }

    /// Lets one answer go.
    pub fn release(&self) {
        self.released.add_permits(1);
    }
}

#[async_trait]
impl Log for HeldLog {
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

    fn commit(&self, entries: Vec<NewEntry>, done: Done) {
        self.log.commit(entries, done);
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        let answer = self.log.last(subject).await;
        if self.about.matches(subject.as_str()) {
            self.asked.add_permits(1);
            self.released.acquire().await.unwrap().forget();
        }
        answer
    }

    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        self.log.last_of_each(subjects, part, limit).await
    }

    fn max_entry_bytes(&self) -> usize {
        self.log.max_entry_bytes()
    }
}
