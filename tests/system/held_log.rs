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
    asked: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl HeldLog {
    /// Holds back what the last entries of these subjects are, and that they are written.
    pub fn new(log: &MemoryLog, about: &str) -> Arc<HeldLog> {
        let [asked, released] = [0, 0].map(|none| Arc::new(Semaphore::new(none)));
        Arc::new(HeldLog { log: log.clone(), about: about.parse().unwrap(), asked, released })
    }

    /// Waits until an answer is held back.
    pub async fn asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }

    /// Lets so many answers go.
    pub fn release(&self, count: usize) {
        self.released.add_permits(count);
    }

    fn holds(&self, subject: &Subject) -> bool {
        self.about.matches(subject.as_str())
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
        if !entries.iter().any(|entry| self.holds(&entry.subject)) {
            return self.log.commit(entries, done);
        }
        let (asked, released) = (self.asked.clone(), self.released.clone());
        let then = move |end| {
            asked.add_permits(1);
            tokio::spawn(async move {
                released.acquire().await.unwrap().forget();
                done(end);
            });
        };
        self.log.commit(entries, Box::new(then));
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        let answer = self.log.last(subject).await;
        if self.holds(subject) {
            self.asked.add_permits(1);
            self.released.acquire().await.unwrap().forget();
        }
        answer
    }

    async fn at(&self, position: Position, part: Part) -> Result<Option<Entry>, ReadError> {
        self.log.at(position, part).await
    }

    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        self.log.last_of_each(subjects, part, limit).await
    }

    async fn remove(&self, subjects: &Pattern, up_to: Position) -> Result<(), ReadError> {
        self.log.remove(subjects, up_to).await
    }

    fn max_entry_bytes(&self) -> usize {
        self.log.max_entry_bytes()
    }
}
