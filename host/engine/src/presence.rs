//! Presence: a host tells that it lives, and what of itself others must know.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use waxwing_event::{HandlerName, Label, Subject};

use crate::{
    entry::member::Member,
    port::{
        Clock, Log,
        log::{CommitError, Committed, commit},
    },
};

/// What a host tells of itself beside that it lives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// The version of its program.
    pub version: String,
    /// The handlers that it can run.
    pub handlers: BTreeSet<HandlerName>,
    /// What is special about it.
    pub labels: BTreeSet<Label>,
    /// True where it takes up only what no other host can run.
    pub standby: bool,
    /// True where it is about to stop.
    pub leaving: bool,
}

/// Tells that a host lives: an entry that goes by its TTL, written anew three times in it, and whenever there is news.
pub struct Presence {
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where.
    pub subject: Subject,
    /// What the host tells of itself.
    pub news: watch::Receiver<News>,
    /// How long a silent host counts as living.
    pub lease: Duration,
    /// Who hears how long it surely counts as living.
    pub living: Living,
}

/// Until when this host surely counts as living, so that nobody takes its partitions over: then what it knows
/// is how things are. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Living {
    surely: Arc<Mutex<Surely>>,
}

/// From when on it has counted as living without a gap, and until when.
#[derive(Debug, Default)]
struct Surely {
    since: Timestamp,
    until: Timestamp,
}

impl Living {
    /// True where it surely counts as living at this moment.
    pub fn is_sure(&self, now: Timestamp) -> bool {
        now < self.surely().until
    }

    /// True where it has surely counted as living all the time since then, as far as it is known now.
    pub fn has_been_sure(&self, since: Timestamp) -> bool {
        self.surely().since <= since
    }

    /// What was told at `told` is durable, now.
    fn extend(&self, told: Timestamp, now: Timestamp, lease: Duration) {
        let mut surely = self.surely();
        if now >= surely.until {
            // Meanwhile another host may have taken over, and left again.
            surely.since = told;
        }
        let lease = SignedDuration::try_from(lease).unwrap_or_default();
        surely.until = told.saturating_add(lease).unwrap_or(told);
    }

    fn surely(&self) -> MutexGuard<'_, Surely> {
        self.surely.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// Tells it once.
    pub async fn tell(&self) -> Result<Committed, CommitError> {
        let before = self.clock.now();
        let told = self.tell_at(before).await?;
        self.living.extend(before, self.clock.now(), self.lease);
        Ok(told)
    }

    async fn tell_at(&self, now: Timestamp) -> Result<Committed, CommitError> {
        let News { version, handlers, labels, standby, leaving } = self.news.borrow().clone();
        let member = Member { at: now, version, handlers, labels, standby, leaving };
        commit(self.log.as_ref(), vec![member.write(self.subject.clone(), self.lease)]).await
    }

    /// Tells it again and again, until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                // Where nobody can have news any more, it goes on as it is.
                Ok(()) = self.news.changed() => {}
                () = self.clock.sleep(self.lease / 3) => {}
            }
            if let Err(error) = self.tell().await {
                tracing::warn!(%error, "cannot tell that this host lives");
            }
        }
    }
}
