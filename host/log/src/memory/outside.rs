//! What lies outside a log in memory: it takes events and remembers them, as a stream does.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use waxwing_engine::port::{
    Log,
    log::{Part, ReadError, Reader},
    outside::{Done, Message, OpenError, OpenStream, Outside, Publish, Read, SendError, Sent, Streams},
};
use waxwing_event::{Pattern, Position, StreamName, handler::Audience};

use super::MemoryLog;

/// A world outside in memory. Clones are the same world.
#[derive(Clone, Default)]
pub struct MemoryOutside {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// How many messages were taken, duplicates not counted.
    taken: watch::Sender<usize>,
}

#[derive(Default)]
struct Inner {
    taken: Vec<Taken>,
    /// Without duplicates.
    count: usize,
    ids: HashSet<String>,
    streams: Vec<(StreamName, Timestamp, MemoryLog)>,
    answer: Option<Answer>,
}

type Answer = Box<dyn FnMut(&Message) -> Result<(), SendError> + Send>;

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The message.
    pub message: Message,
    /// True where a stream had one of this id already, and so kept the first only.
    pub duplicate: bool,
}

impl MemoryOutside {
    /// As the engine takes it.
    pub fn port(&self) -> Outside {
        Outside { publish: Arc::new(self.clone()), streams: Arc::new(self.clone()) }
    }

    /// From now on each message is taken, or not, as `answer` says.
    pub fn answer(&self, answer: impl FnMut(&Message) -> Result<(), SendError> + Send + 'static) {
        self.lock().answer = Some(Box::new(answer));
    }

    /// A stream that can be read under this name; a log in memory stands for it. One that was there under the
    /// name is gone.
    pub fn put_stream(&self, name: StreamName, made: Timestamp, log: MemoryLog) {
        self.remove_stream(&name);
        self.lock().streams.push((name, made, log));
    }

    /// Removes a stream.
    pub fn remove_stream(&self, name: &StreamName) {
        self.lock().streams.retain(|(known, ..)| known != name);
    }

    /// Everything that was taken, in order.
    pub fn taken(&self) -> Vec<Taken> {
        self.lock().taken.clone()
    }

    /// Waits until so many messages were taken, duplicates not counted.
    pub async fn wait_for(&self, count: usize) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.shared.taken.subscribe().wait_for(|taken| *taken >= count).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: Message) -> Result<Sent, SendError> {
        let mut inner = self.lock();
        if let Some(answer) = &mut inner.answer {
            answer(&message)?;
        }
        let sent = match message.audience {
            Audience::Stream => Sent::Kept,
            Audience::Live => Sent::Told,
        };
        let duplicate = sent == Sent::Kept && !inner.ids.insert(message.id.clone());
        inner.taken.push(Taken { message, duplicate });
        inner.count += usize::from(!duplicate);
        let count = inner.count;
        drop(inner);
        self.shared.taken.send_replace(count);
        Ok(sent)
    }
}

impl Publish for MemoryOutside {
    fn publish(&self, message: Message, done: Done) {
        done(self.take(message));
    }
}

#[async_trait]
impl Streams for MemoryOutside {
    async fn open(&self, name: &StreamName) -> Result<OpenStream, OpenError> {
        let found = self.lock().streams.iter().find(|(known, ..)| known == name).cloned();
        let Some((name, made, log)) = found else {
            return Err(OpenError(format!("there is no stream `{name}`")));
        };
        let bounds = log.bounds().await.map_err(|error| OpenError(error.to_string()))?;
        let entries = Arc::new(Incarnation { outside: self.clone(), name, made, log });
        Ok(OpenStream { bounds, made, entries })
    }
}

/// A stream as it was looked at.
struct Incarnation {
    outside: MemoryOutside,
    name: StreamName,
    made: Timestamp,
    log: MemoryLog,
}

#[async_trait]
impl Read for Incarnation {
    async fn read(
        &self,
        from: Position,
        subjects: &[Pattern],
        part: Part,
    ) -> Result<Box<dyn Reader>, ReadError> {
        let still = self
            .outside
            .lock()
            .streams
            .iter()
            .any(|(name, made, _)| (name, made) == (&self.name, &self.made));
        match still {
            true => self.log.read(from, subjects, part).await,
            false => Err(ReadError::Broken(format!("the stream `{}` is gone", self.name))),
        }
    }
}
