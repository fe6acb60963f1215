//! The gate: lets a reader go on no further than to a position, which moves.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use tokio::sync::watch;
use waxwing_event::{Pattern, Position};

use crate::port::{
    log::{Entry, Part, ReadError, Reader},
    outside::Read,
};

/// Entries up to a position.
pub struct Gate {
    entries: Arc<dyn Read>,
    until: watch::Receiver<Position>,
}

impl Gate {
    /// Before these entries; the last one that may pass is told by `until`.
    pub fn new(entries: Arc<dyn Read>, until: watch::Receiver<Position>) -> Gate {
        Gate { entries, until }
    }
}

#[async_trait]
impl Read for Gate {
    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        let reader = self.entries.read(from, subjects, part).await?;
        Ok(Box::new(Gated { reader, until: self.until.clone(), before: VecDeque::new() }))
    }
}

struct Gated {
    reader: Box<dyn Reader>,
    until: watch::Receiver<Position>,
    /// What was read and stands before the gate.
    before: VecDeque<Entry>,
}

#[async_trait]
impl Reader for Gated {
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        loop {
            let until = *self.until.borrow_and_update();
            let pass = self.before.iter().take(max).take_while(|entry| entry.position <= until).count();
            if pass > 0 {
                return Ok(self.before.drain(..pass).collect());
            }
            if self.before.is_empty() {
                self.before.extend(self.reader.next(max).await?);
            } else if self.until.changed().await.is_err() {
                return Err(ReadError::Broken("nobody says how far to read".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio::time::timeout;
    use waxwing_event::{Headers, Subject};

    use super::*;

    struct Numbers(u64);

    #[async_trait]
    impl Reader for Numbers {
        async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
            let entry = |position| Entry {
                position: Position(position),
                subject: Subject::from_checked("a"),
                headers: Headers::new(),
                payload: Default::default(),
                time: Timestamp::UNIX_EPOCH,
            };
            let from = self.0;
            self.0 += max as u64;
            Ok((from..self.0).map(entry).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lets_pass_what_may() {
        let (sender, until) = watch::channel(Position(3));
        let mut gated = Gated { reader: Box::new(Numbers(1)), until, before: VecDeque::new() };
        let mut next = async |max| {
            let read = timeout(Duration::from_secs(1), gated.next(max)).await.ok()?.unwrap();
            Some(read.iter().map(|entry| entry.position.0).collect::<Vec<_>>())
        };
        assert_eq!(next(2).await, Some(vec![1, 2]));
        assert_eq!(next(2).await, Some(vec![3]));
        assert_eq!(next(2).await, None);
        sender.send_replace(Position(6));
        assert_eq!(next(1).await, Some(vec![4]));
        assert_eq!(next(9).await.unwrap(), vec![5, 6]);
        assert_eq!(next(9).await, None);
    }
}
