//! A log that can be asked from any thread: sandboxes read state on threads of their own, where no runtime is
//! entered, and a client of NATS needs its runtime's clock.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use async_trait::async_trait;
use tokio::runtime::Handle;
use waxwing_engine::port::{
    Log,
    log::{Bounds, Done, Entry, NewEntry, Part, ReadError, Reader},
};
use waxwing_event::{Pattern, Position, Subject};

/// Lends its runtime to whoever asks the log.
pub(crate) struct Anywhere {
    log: Arc<dyn Log>,
    runtime: Handle,
}

impl Anywhere {
    /// The log on the current runtime. Panics outside of one.
    pub(crate) fn new(log: Arc<dyn Log>) -> Anywhere {
        Anywhere { log, runtime: Handle::current() }
    }

    /// Enters the runtime for each poll alone: between polls the future may be on another thread.
    async fn within<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            let _entered = self.runtime.enter();
            future.as_mut().poll(context)
        })
        .await
    }
}

#[async_trait]
impl Log for Anywhere {
    async fn bounds(&self) -> Result<Bounds, ReadError> {
        self.within(self.log.bounds()).await
    }

    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        self.within(self.log.read(from, subjects, part)).await
    }

    fn commit(&self, entries: Vec<NewEntry>, done: Done) {
        let _entered = self.runtime.enter();
        self.log.commit(entries, done);
    }

    async fn last(&self, subject: &Subject) -> Result<Option<Entry>, ReadError> {
        self.within(self.log.last(subject)).await
    }

    async fn last_of_each(
        &self,
        subjects: &Pattern,
        part: Part,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        self.within(self.log.last_of_each(subjects, part, limit)).await
    }

    fn max_entry_bytes(&self) -> usize {
        self.log.max_entry_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use waxwing_engine::port::clock::SystemClock;
    use waxwing_log::MemoryLog;

    use super::*;

    #[test]
    fn lends_the_runtime_to_threads_without_one() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let log = {
            let _entered = runtime.enter();
            Anywhere::new(Arc::new(MemoryLog::new(Arc::new(SystemClock))))
        };
        let slept = log.within(async { tokio::time::sleep(Duration::from_millis(1)).await });
        let first = pin!(slept).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(first, Poll::Pending);
    }
}
