//! Owning a partition: taking the lease, telling that this host lives, giving the lease up.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use waxwing_event::{HandlerName, Position, Subject};

use crate::{
    entry::{Layout, Lease, Partition},
    port::{
        Clock, Log, Observe,
        log::{CommitError, Committed, Expect, Keep, NewEntry, ReadError, commit},
        observe::PartitionChange,
    },
};

/// The shortest time that a lease may last: the log's TTLs are whole seconds.
pub const MIN_LEASE: Duration = Duration::from_secs(1);

/// How often it is looked, in the time of a lease, whether one is free.
pub const LOOKS_A_LEASE: u32 = 10;

/// A lease that this host holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The lease's subject.
    pub subject: Subject,
    /// Its position: the fence.
    pub fence: Position,
    /// True where nobody ever held it before.
    pub first: bool,
    /// A moment before it was taken.
    pub since: Timestamp,
}

/// True while a host counts as living.
pub async fn lives(log: &dyn Log, layout: &Layout, host: &str) -> Result<bool, ReadError> {
    Ok(log.last(&layout.host(host)).await?.is_some())
}

/// The host that runs a handler's partition: it has the lease, and lives.
pub async fn owner(
    log: &dyn Log,
    layout: &Layout,
    handler: &HandlerName,
    partition: Partition,
) -> Result<Option<String>, ReadError> {
    let entry = log.last(&layout.lease(handler, partition)).await?;
    match entry.and_then(|entry| Lease::read(&entry).ok()?.host) {
        Some(host) if lives(log, layout, &host).await? => Ok(Some(host)),
        _ => Ok(None),
    }
}

/// Takes and gives up a lease for one host.
pub struct Claim {
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who hears of waiting.
    pub observe: Arc<dyn Observe>,
    /// Where things stand.
    pub layout: Layout,
    /// Whose.
    pub handler: HandlerName,
    /// The lease: of one of the handler's partitions, or of its outbox.
    pub subject: Subject,
    /// This host.
    pub host: String,
    /// How often it is looked whether it is free.
    pub look_every: Duration,
}

/// What stands in the way of a lease.
enum Found {
    Free(Position),
    Owned(String),
}

impl Claim {
    /// Waits until this host owns it; none where `stop` comes first. A lease that is being taken is not left
    /// half-way: who stops must know what to give up.
    pub async fn acquire(&self, stop: &CancellationToken) -> Option<Held> {
        let mut waiting_for = None;
        loop {
            let found = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                found = self.find(&self.subject) => found,
            };
            match found {
                Ok(Found::Free(last)) => match self.take(&self.subject, last).await {
                    Ok(held) => return Some(held),
                    // Somebody was faster: look again at once.
                    Err(CommitError::Refused(_)) => continue,
                    Err(error) => {
                        tracing::warn!(handler = %self.handler, %error, "cannot take the lease yet")
                    }
                },
                Ok(Found::Owned(owner)) => {
                    if waiting_for.as_ref() != Some(&owner) {
                        let change = PartitionChange::Waiting { owner: owner.clone() };
                        self.observe.partition(&self.handler, &change);
                        waiting_for = Some(owner);
                    }
                }
                Err(error) => tracing::warn!(handler = %self.handler, %error, "cannot read the lease yet"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = self.clock.sleep(self.look_every) => {}
            }
        }
    }

    async fn find(&self, subject: &Subject) -> Result<Found, ReadError> {
        let Some(entry) = self.log.last(subject).await? else { return Ok(Found::Free(Position::NONE)) };
        let owner = match Lease::read(&entry) {
            Ok(lease) => lease.host.filter(|host| *host != self.host),
            Err(error) => {
                tracing::warn!(%error, "taking over a lease that cannot be read");
                None
            }
        };
        let Some(owner) = owner else { return Ok(Found::Free(entry.position)) };
        Ok(if lives(self.log.as_ref(), &self.layout, &owner).await? {
            Found::Owned(owner)
        } else {
            Found::Free(entry.position)
        })
    }

    async fn take(&self, subject: &Subject, last: Position) -> Result<Held, CommitError> {
        let since = self.clock.now();
        let lease = Lease { host: Some(self.host.clone()) };
        let entry = lease.write(subject.clone(), Expect { subject: None, last });
        let committed = commit(self.log.as_ref(), vec![entry]).await?;
        Ok(Held { subject: subject.clone(), fence: committed.last, first: last == Position::NONE, since })
    }

    /// Gives the lease up, so that another host need not wait.
    pub async fn release(&self, held: &Held) -> Result<(), CommitError> {
        let expect = Expect { subject: None, last: held.fence };
        let entry = Lease { host: None }.write(held.subject.clone(), expect);
        commit(self.log.as_ref(), vec![entry]).await.map(drop)
    }
}

/// Tells that a host lives: an entry that goes by its TTL, written anew three times in it.
pub struct Presence {
    /// The app's log.
    pub log: Arc<dyn Log>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where.
    pub subject: Subject,
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
        let mut entry = NewEntry::new(self.subject.clone(), now.to_string());
        entry.rollup = true;
        entry.keep = Keep::For(self.lease);
        commit(self.log.as_ref(), vec![entry]).await
    }

    /// Tells it again and again, until it is dropped.
    pub async fn run(self) {
        loop {
            self.clock.sleep(self.lease / 3).await;
            if let Err(error) = self.tell().await {
                tracing::warn!(%error, "cannot tell that this host lives");
            }
        }
    }
}
