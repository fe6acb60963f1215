//! Owning a partition: taking the lease when it is this host's turn, and giving it up.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use waxwing_event::{HandlerName, Position, Subject};

use crate::{
    entry::{Layout, Lease, Partition},
    port::{
        Clock, Log, Observe,
        clock::after,
        log::{CommitError, Expect, ReadError, commit},
        observe::PartitionChange,
    },
    roster::{Seat, Turn},
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
    /// The part of it of which is told that it waits.
    pub partition: Partition,
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

/// A lease that was taken.
#[derive(Debug)]
pub struct Taken {
    /// It.
    pub held: Held,
    /// The host whose turn it was, and that has not taken it in time.
    pub in_place_of: Option<String>,
}

impl Claim {
    /// Waits until this host owns it, and, where there are turns, until it is this host's, or a lease's time has passed
    /// in which the host whose turn it is has not taken it; none where `stop` comes first. A lease that is being taken is
    /// not left half-way: who stops must know what to give up.
    pub async fn acquire(&self, turn: Option<&Turn>, stop: &CancellationToken) -> Option<Taken> {
        let mut waiting_for = None;
        loop {
            let looked = async {
                let in_place_of = match turn {
                    Some(turn) => self.wait_for(turn, &mut waiting_for).await,
                    None => None,
                };
                (in_place_of, self.find(&self.subject).await)
            };
            let (in_place_of, found) = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                looked = looked => looked,
            };
            match found {
                Ok(Found::Free(last)) => match self.take(&self.subject, last).await {
                    Ok(held) => return Some(Taken { held, in_place_of }),
                    // Somebody was faster: look again at once.
                    Err(CommitError::Refused(_)) => continue,
                    Err(error) => {
                        tracing::warn!(handler = %self.handler, %error, "cannot take the lease yet")
                    }
                },
                Ok(Found::Owned(owner)) => self.tell_waiting(owner, &mut waiting_for),
                Err(error) => tracing::warn!(handler = %self.handler, %error, "cannot read the lease yet"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = self.clock.sleep(self.look_every) => {}
            }
        }
    }

    /// Waits until it is worth a look whether the lease is free; gives the host in whose place it is taken then.
    async fn wait_for(&self, turn: &Turn, waiting_for: &mut Option<String>) -> Option<String> {
        // The one whose turn it is while it is free, and until when it may take it.
        let mut overdue: Option<(String, Timestamp)> = None;
        loop {
            let changed = turn.roster.changed();
            let (another, until) = match (turn.roster.seat(&self.subject, &self.host), turn.of_another()) {
                (Seat::Unknown | Seat::Own, _) | (Seat::Free, None) => return None,
                // It is looked for once in a while, whatever the roster says.
                (Seat::Taken(owner), _) => {
                    overdue = None;
                    (owner, None)
                }
                (Seat::Free, Some(another)) => {
                    let now = self.clock.now();
                    let until = match overdue.take() {
                        Some((host, until)) if host == another => until,
                        _ => after(now, turn.lease),
                    };
                    if until <= now {
                        return Some(another);
                    }
                    overdue = Some((another.clone(), until));
                    (another, Some(until))
                }
            };
            self.tell_waiting(another, waiting_for);
            let time = until.map_or(turn.lease, |until| between(self.clock.now(), until));
            tokio::select! {
                biased;
                () = changed => {}
                () = self.clock.sleep(time) => { until?; }
            }
        }
    }

    fn tell_waiting(&self, owner: String, waiting_for: &mut Option<String>) {
        if waiting_for.as_ref() != Some(&owner) {
            let change = PartitionChange::Waiting { owner: owner.clone() };
            self.observe.partition(&self.handler, self.partition, &change);
            *waiting_for = Some(owner);
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

/// From one time to a later one.
fn between(now: Timestamp, later: Timestamp) -> Duration {
    later.duration_since(now).try_into().unwrap_or_default()
}
