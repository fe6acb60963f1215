//! The roster: which hosts live, what each can run, and who has which lease, as one host knows it.
//!
//! It is followed in the log, and looked at anew ten times a lease, as an entry that goes by its TTL tells nobody. It
//! says whose turn a partition is; what counts is the lease in the log alone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Notify, futures::OwnedNotified};
use waxwing_event::{HandlerName, Subject};

use crate::{
    entry::{Layout, Lease, Partition, member::Member},
    lease::LOOKS_A_LEASE,
    port::{
        Clock, Log,
        clock::after,
        log::{Entry, Part, ReadError},
    },
    rendezvous,
};

/// How long it rests after the log could not be read.
const REST: Duration = Duration::from_secs(1);

/// Entries taken from the reader at a time.
const CHUNK: usize = 256;

/// All of them.
const ALL: usize = usize::MAX;

/// How many leases long a host is passed over to which a partition was given up, and which has not taken it.
const PASSED_OVER_LEASES: u32 = 10;

/// What one host knows of the others. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    known: Arc<RwLock<Known>>,
    /// Wakes those who wait in the order in which they came, so that a simulation can repeat a run.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Known {
    /// None: a host that lives, and tells nothing more.
    members: BTreeMap<String, Option<Member>>,
    /// None: nobody has it.
    leases: HashMap<Subject, Option<String>>,
    /// False before it was read for the first time, and while it cannot be read.
    is_current: bool,
}

/// Who has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seat {
    /// It is not known.
    Unknown,
    /// Another host that lives.
    Taken(String),
    /// This host itself, or its former self.
    Own,
    /// Nobody who lives.
    Free,
}

impl Roster {
    /// Ends with the next change after it was made.
    pub fn changed(&self) -> OwnedNotified {
        self.changed.clone().notified_owned()
    }

    /// Who has this lease, as `host` sees it.
    pub fn seat(&self, lease: &Subject, host: &str) -> Seat {
        let known = self.known();
        if !known.is_current {
            return Seat::Unknown;
        }
        match known.leases.get(lease) {
            Some(Some(owner)) if owner == host => Seat::Own,
            Some(Some(owner)) if known.members.contains_key(owner) => Seat::Taken(owner.clone()),
            _ => Seat::Free,
        }
    }

    /// The host to which a partition goes, `but` some; none where it is not known, or nobody can run it.
    pub fn preferred(
        &self,
        handler: &HandlerName,
        partition: Partition,
        but: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let known = self.known();
        if !known.is_current {
            return None;
        }
        let can = |member: &Member| !member.leaving && member.handlers.contains(handler);
        let able = known.members.iter().filter(|(host, _)| !but(host));
        let able = able.filter_map(|(host, member)| Some((host.as_str(), member.as_ref()?)));
        let (standby, first): (Vec<_>, Vec<_>) =
            able.filter(|(_, member)| can(member)).partition(|(_, member)| member.standby);
        let those = if first.is_empty() { standby } else { first };
        rendezvous::heaviest(those.into_iter().map(|(host, _)| host), handler, partition).map(str::to_owned)
    }

    /// This host has given a lease up.
    pub fn gave_up(&self, lease: &Subject) {
        self.change(|known| drop(known.leases.insert(lease.clone(), None)));
    }

    /// Follows the log, for ever.
    pub async fn follow(self, log: Arc<dyn Log>, layout: Layout, clock: Arc<dyn Clock>, lease: Duration) {
        loop {
            let Err(error) = self.read(log.as_ref(), &layout, clock.as_ref(), lease).await;
            self.change(|known| known.is_current = false);
            tracing::warn!(%error, "cannot read which hosts live yet");
            clock.sleep(REST).await;
        }
    }

    async fn read(
        &self,
        log: &dyn Log,
        layout: &Layout,
        clock: &dyn Clock,
        lease: Duration,
    ) -> Result<std::convert::Infallible, ReadError> {
        let next = log.bounds().await?.last.next();
        let leases = log.last_of_each(&layout.leases(), Part::Whole, ALL).await?;
        let listed = members(log, layout).await?;
        self.change(|known| {
            known.leases = leases.iter().map(|entry| (entry.subject.clone(), owner(entry))).collect();
            known.members = listed;
            known.is_current = true;
        });
        let mut reader = log.read(next, &[layout.leases(), layout.hosts()], Part::Whole).await?;
        let mut look = clock.sleep(lease / LOOKS_A_LEASE);
        loop {
            tokio::select! {
                biased;
                () = &mut look => {
                    self.set_members(members(log, layout).await?);
                    look = clock.sleep(lease / LOOKS_A_LEASE);
                }
                entries = reader.next(CHUNK) => self.take(layout, entries?),
            }
        }
    }

    fn set_members(&self, members: BTreeMap<String, Option<Member>>) {
        if told(&self.known().members) != told(&members) {
            self.change(|known| known.members = members);
        }
    }

    fn take(&self, layout: &Layout, entries: Vec<Entry>) {
        let hosts = layout.hosts();
        self.change(|known| {
            for entry in entries {
                if hosts.matches(entry.subject.as_str()) {
                    known.members.extend(named(&entry));
                } else {
                    known.leases.insert(entry.subject.clone(), owner(&entry));
                }
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn members(log: &dyn Log, layout: &Layout) -> Result<BTreeMap<String, Option<Member>>, ReadError> {
    let entries = log.last_of_each(&layout.hosts(), Part::Whole, ALL).await?;
    Ok(entries.iter().filter_map(named).collect())
}

fn named(entry: &Entry) -> Option<(String, Option<Member>)> {
    let host = entry.subject.tokens().last()?.to_owned();
    Some((host, Member::read(entry)))
}

fn owner(lease: &Entry) -> Option<String> {
    Lease::read(lease).ok()?.host
}

/// What matters of what hosts tell: not when they did.
fn told(members: &BTreeMap<String, Option<Member>>) -> Vec<(&String, Option<Member>)> {
    let timeless = |member: &Member| Member { at: Timestamp::UNIX_EPOCH, ..member.clone() };
    members.iter().map(|(host, member)| (host, member.as_ref().map(timeless))).collect()
}

/// Whose turn a partition is, as one host sees it.
pub struct Turn {
    /// What it knows of the others.
    pub roster: Roster,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The handler.
    pub handler: HandlerName,
    /// Which part of it.
    pub partition: Partition,
    /// This host.
    pub host: String,
    /// How long a silent host counts as living.
    pub lease: Duration,
    /// Hosts that have not taken what was given up to them, and until when each is passed over.
    pub passed_over: BTreeMap<String, Timestamp>,
}

impl Turn {
    /// Another host whose turn it is.
    pub fn of_another(&self) -> Option<String> {
        let now = self.clock.now();
        let but = |host: &str| self.passed_over.get(host).is_some_and(|until| now < *until);
        self.roster.preferred(&self.handler, self.partition, but).filter(|host| *host != self.host)
    }

    /// The one whose turn it is has not taken it, and is passed over for a while.
    pub fn pass_over(&mut self, host: String) {
        let now = self.clock.now();
        self.passed_over.retain(|_, until| now < *until);
        self.passed_over.insert(host, after(now, self.lease * PASSED_OVER_LEASES));
    }

    /// Returns when it is the turn of another host.
    pub async fn is_over(&self) {
        loop {
            let changed = self.roster.changed();
            if self.of_another().is_some() {
                return;
            }
            // One that was passed over gets another chance when something changes.
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::clock::SystemClock;

    fn member(handlers: &[&str], leaving: bool) -> Option<Member> {
        let handlers = handlers.iter().map(|name| name.parse().unwrap()).collect();
        let (version, labels) = (String::new(), Default::default());
        Some(Member { at: Timestamp::UNIX_EPOCH, version, handlers, labels, standby: false, leaving })
    }

    fn roster(members: &[(&str, Option<Member>)], leases: &[(&str, Option<&str>)]) -> Roster {
        let roster = Roster::default();
        roster.change(|known| {
            known.members =
                members.iter().map(|(host, member)| ((*host).to_owned(), member.clone())).collect();
            let lease = |(subject, owner): &(&str, Option<&str>)| {
                (Subject::from_checked(subject), owner.map(str::to_owned))
            };
            known.leases = leases.iter().map(lease).collect();
            known.is_current = true;
        });
        roster
    }

    #[test]
    fn a_lease_of_a_host_that_lives_no_more_is_free() {
        let leases = [("l.a", Some("a")), ("l.b", Some("b")), ("l.c", None)];
        let roster = roster(&[("a", None)], &leases);
        let seat = |lease: &str, host: &str| roster.seat(&Subject::from_checked(lease), host);
        assert_eq!(seat("l.a", "b"), Seat::Taken("a".to_owned()));
        assert_eq!(
            (seat("l.a", "a"), seat("l.b", "a"), seat("l.c", "a")),
            (Seat::Own, Seat::Free, Seat::Free)
        );
        assert_eq!(seat("l.new", "a"), Seat::Free);
        assert_eq!(Roster::default().seat(&Subject::from_checked("l.a"), "b"), Seat::Unknown);
    }

    #[test]
    fn a_partition_goes_to_a_host_that_can_run_it_and_stays() {
        let handler: HandlerName = "x".parse().unwrap();
        let preferred = |members: &[(&str, Option<Member>)], but: Option<&str>| {
            roster(members, &[]).preferred(&handler, Partition(0), |host| Some(host) == but)
        };
        let (able, unable, leaving) = (member(&["x"], false), member(&["y"], false), member(&["x"], true));
        let all = [("a", able.clone()), ("b", unable), ("c", leaving), ("d", None)];
        assert_eq!(preferred(&all, None).as_deref(), Some("a"));
        assert_eq!(preferred(&all, Some("a")), None);
        assert_eq!(preferred(&[], None), None);
        let standby = able.clone().map(|member| Member { standby: true, ..member });
        let both = [("a", standby.clone()), ("b", standby.clone()), ("z", able.clone())];
        assert_eq!(preferred(&both, None).as_deref(), Some("z"));
        assert!(preferred(&both, Some("z")).is_some());
        let both = [("a", able.clone()), ("e", able)];
        let first = preferred(&both, None).unwrap();
        assert_ne!(preferred(&both, Some(&first)), Some(first));
    }

    #[tokio::test]
    async fn a_turn_is_over_when_another_host_comes_and_not_for_one_that_is_passed_over() {
        let roster = roster(&[("a", member(&["x"], false))], &[]);
        let mut turn = Turn {
            roster: roster.clone(),
            clock: Arc::new(SystemClock),
            handler: "x".parse().unwrap(),
            partition: Partition(0),
            host: "nobody".to_owned(),
            lease: Duration::from_secs(5),
            passed_over: BTreeMap::new(),
        };
        assert_eq!(turn.of_another().as_deref(), Some("a"));
        turn.is_over().await;
        turn.pass_over("a".to_owned());
        assert_eq!(turn.of_another(), None);
        let over = tokio::spawn(async move { turn.is_over().await });
        roster.change(|known| drop(known.members.insert("e".to_owned(), member(&["x"], false))));
        over.await.unwrap();
    }
}
