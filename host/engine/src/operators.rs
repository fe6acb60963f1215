//! Operators: follows what they write to the log, for all handlers of this host.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use waxwing_event::{HandlerName, Position};

use crate::{
    entry::{Layout, operator},
    port::{
        Clock, Log,
        log::{Entry, Part, ReadError},
    },
};

/// How long it rests after the log could not be read.
const REST: Duration = Duration::from_secs(1);

/// Entries taken from the reader at a time.
const CHUNK: usize = 256;

/// Tells each handler what operators wrote about it.
#[derive(Clone, Default)]
pub struct Operators {
    listeners: Arc<Mutex<HashMap<HandlerName, Vec<mpsc::UnboundedSender<Entry>>>>>,
}

impl Operators {
    /// Hears of everything that is written about a handler from now on, without payloads. Something written
    /// shortly before may be told, too.
    pub fn listen(&self, handler: &HandlerName) -> mpsc::UnboundedReceiver<Entry> {
        // Bounded by what operators write.
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut listeners = self.listeners();
        let of_handler = listeners.entry(handler.clone()).or_default();
        of_handler.retain(|listener| !listener.is_closed());
        of_handler.push(sender);
        receiver
    }

    /// Follows the log from behind `after`, for ever.
    pub async fn follow(self, log: Arc<dyn Log>, layout: Layout, clock: Arc<dyn Clock>, after: Position) {
        let mut next = after.next();
        loop {
            let Err(error) = self.read(log.as_ref(), &layout, &mut next).await;
            tracing::warn!(%error, "cannot read what operators write yet");
            clock.sleep(REST).await;
        }
    }

    async fn read(
        &self,
        log: &dyn Log,
        layout: &Layout,
        next: &mut Position,
    ) -> Result<std::convert::Infallible, ReadError> {
        let subjects = [
            layout.all_parked(None),
            layout.dead_letters(None),
            layout.all_paused(),
            layout.all_generations(),
        ];
        let mut reader = log.read(*next, &subjects, Part::Headers).await?;
        loop {
            for entry in reader.next(CHUNK).await? {
                *next = entry.position.next();
                if operator::wrote(&entry) {
                    self.tell(layout, entry);
                }
            }
        }
    }

    fn tell(&self, layout: &Layout, entry: Entry) {
        // Listeners know which generations are theirs.
        let Some(name) = layout.generation_of(&entry.subject) else { return };
        for listener in self.listeners().get(&name.handler).into_iter().flatten() {
            // A partition that has ended hears of it when it begins again.
            let _ = listener.send(entry.clone());
        }
    }

    fn listeners(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<HandlerName, Vec<mpsc::UnboundedSender<Entry>>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
