//! Readings: the partitions of a handler on this host that have come equally far read its inputs together.
//!
//! Each input is then fetched, decoded and given its key once, not once a partition. A partition that begins reads on its
//! own until it has come as far as the others; one that takes nothing for a while is left behind, and reads on its own again.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use waxwing_event::{HandlerSpec, Position};

use crate::{
    entry::Origin,
    port::{
        Clock,
        log::{Entry, Part, ReadError},
        outside::Read,
    },
    source::{self, Arrivals, Open},
};

/// How long the others wait for one that takes nothing.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the partitions of a handler on this host read together.
pub(crate) struct Readings {
    common: Arc<Common>,
    /// The task that reads, once there is one.
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Common {
    spec: Arc<HandlerSpec>,
    clock: Arc<dyn Clock>,
    course: Mutex<Course>,
    /// Somebody has left.
    left: Notify,
}

/// How far they have come.
#[derive(Default)]
struct Course {
    /// What is read; none: nobody reads.
    origin: Option<Option<Origin>>,
    /// What is handed out next lies here or above.
    next: Position,
    members: Vec<Member>,
}

/// A partition that reads with the others.
struct Member {
    open: Open,
    /// What lies below it has.
    from: Position,
    arrivals: mpsc::Sender<Arrivals>,
    end: oneshot::Sender<Result<Alone, ReadError>>,
    has_gone: Arc<AtomicBool>,
}

/// A partition that reads on its own.
pub(crate) struct Alone {
    pub(crate) open: Open,
    /// Where it goes on.
    pub(crate) from: Position,
}

/// A partition's part in what is read together; dropped, it takes none any more.
pub(crate) struct Together {
    end: oneshot::Receiver<Result<Alone, ReadError>>,
    has_gone: Arc<AtomicBool>,
    common: Arc<Common>,
}

impl Together {
    /// Waits until the partition must go on alone, or until nothing can be read.
    pub(crate) async fn ended(mut self) -> Result<Alone, ReadError> {
        let end = (&mut self.end).await;
        end.unwrap_or_else(|_| Err(ReadError::Unavailable("the common reader has ended".to_owned())))
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.has_gone.store(true, Ordering::Relaxed);
        self.common.left.notify_one();
    }
}

impl Readings {
    pub(crate) fn new(spec: Arc<HandlerSpec>, clock: Arc<dyn Clock>) -> Readings {
        let common = Common { spec, clock, course: Mutex::default(), left: Notify::new() };
        Readings { common: Arc::new(common), task: Mutex::new(None) }
    }

    /// Reads with the others from here on, if it has come as far as they have; where nobody reads, it is the first.
    pub(crate) fn join(
        &self,
        alone: Alone,
        (inputs, origin): (&Arc<dyn Read>, &Option<Origin>),
        arrivals: &mpsc::Sender<Arrivals>,
    ) -> Result<Together, Alone> {
        let mut course = self.common.course();
        match &course.origin {
            Some(read) if read != origin || alone.from < course.next => return Err(alone),
            Some(_) => {}
            None => {
                course.origin = Some(origin.clone());
                course.next = alone.from;
                let reading = read(self.common.clone(), inputs.clone(), alone.from);
                let task = AbortOnDropHandle::new(tokio::spawn(reading));
                *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
            }
        }
        let (sender, end) = oneshot::channel();
        let has_gone = Arc::new(AtomicBool::new(false));
        let Alone { open, from } = alone;
        let member =
            Member { open, from, arrivals: arrivals.clone(), end: sender, has_gone: has_gone.clone() };
        course.members.push(member);
        Ok(Together { end, has_gone, common: self.common.clone() })
    }
}

/// Reads on for all members until there are none, or until nothing can be read.
async fn read(common: Arc<Common>, inputs: Arc<dyn Read>, from: Position) {
    let mut reader = match inputs.read(from, &common.spec.on, Part::Whole).await {
        Ok(reader) => reader,
        Err(error) => return common.fail(&error),
    };
    loop {
        let entries = tokio::select! {
            biased;
            () = common.left.notified() => {
                if common.is_deserted() {
                    return;
                }
                continue;
            }
            entries = reader.next(source::CHUNK) => entries,
        };
        let mut entries = match entries {
            Ok(entries) => entries.into_iter(),
            Err(error) => return common.fail(&error),
        };
        loop {
            let chunk = source::entries(&mut entries);
            if chunk.is_empty() {
                break;
            }
            common.hand_out(chunk).await;
        }
    }
}

impl Common {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where nobody reads any more: whoever comes next begins anew.
    fn is_deserted(&self) -> bool {
        let mut course = self.course();
        course.members.retain(Member::is_there);
        if course.members.is_empty() {
            course.origin = None;
        }
        course.members.is_empty()
    }

    /// Nothing can be read: each member hears why.
    fn fail(&self, error: &ReadError) {
        let course = std::mem::take(&mut *self.course());
        for member in course.members {
            // Who has gone hears nothing.
            let _ = member.end.send(Err(error.clone()));
        }
    }

    /// Gives each member its part of some entries. Who joins meanwhile has what is in them.
    async fn hand_out(&self, entries: Vec<Entry>) {
        let Some((first, last)) = entries.first().zip(entries.last()) else { return };
        let (first, next) = (first.position, last.position.next());
        let members = {
            let mut course = self.course();
            course.next = next;
            std::mem::take(&mut course.members)
        };
        let mut ready = Vec::with_capacity(members.len());
        for member in members {
            ready.extend(self.wait_for(member, first).await);
        }
        let mut parts: Vec<Vec<_>> = ready.iter().map(|_| Vec::with_capacity(entries.len())).collect();
        for entry in entries {
            let position = entry.position;
            let mut arriving = source::Arriving::new(entry, &self.spec);
            let members = ready.iter_mut().zip(&mut parts);
            for (member, part) in members.filter(|(member, _)| position >= member.from) {
                part.push(arriving.at(&mut member.open));
            }
        }
        let kept = ready.into_iter().zip(parts).filter_map(|(mut member, part)| {
            member.from = member.from.max(next);
            // There is room: nobody else sends.
            let is_sent = part.is_empty() || member.arrivals.try_send(Ok(part)).is_ok();
            is_sent.then_some(member)
        });
        let kept: Vec<Member> = kept.collect();
        self.course().members.extend(kept);
    }

    /// The member, as soon as it takes more; none where it has gone, or takes nothing and must go on alone.
    async fn wait_for(&self, member: Member, first: Position) -> Option<Member> {
        if !member.is_there() {
            return None;
        }
        let has_room = match member.arrivals.try_reserve() {
            Ok(_) => true,
            Err(mpsc::error::TrySendError::Closed(())) => return None,
            Err(mpsc::error::TrySendError::Full(())) => tokio::select! {
                biased;
                room = member.arrivals.reserve() => room.is_ok(),
                () = self.clock.sleep(PATIENCE) => false,
            },
        };
        if has_room {
            return Some(member);
        }
        let from = member.from.max(first);
        // Who has gone hears nothing.
        let _ = member.end.send(Ok(Alone { open: member.open, from }));
        None
    }
}

impl Member {
    fn is_there(&self) -> bool {
        !self.has_gone.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use async_trait::async_trait;
    use bytes::Bytes;
    use jiff::Timestamp;
    use tokio::{sync::watch, task::JoinSet, time::timeout};
    use waxwing_event::{Headers, Pattern};

    use super::*;
    use crate::{
        entry::{Partition, Partitions, partitions::Share},
        port::{clock::SystemClock, log::Reader},
        source::{Arrival, Source},
    };

    const LAST: u64 = 3_000;
    const PARTITIONS: u32 = 4;

    /// Entries up to a number that grows, read in bits of many sizes; counts what was given to readers.
    struct Growing {
        last: watch::Sender<u64>,
        given: Arc<Mutex<u64>>,
    }

    struct FromHere {
        next: u64,
        last: watch::Receiver<u64>,
        given: Arc<Mutex<u64>>,
    }

    #[async_trait]
    impl Read for Growing {
        async fn read(&self, from: Position, _: &[Pattern], _: Part) -> Result<Box<dyn Reader>, ReadError> {
            let (last, given) = (self.last.subscribe(), self.given.clone());
            Ok(Box::new(FromHere { next: from.0.max(1), last, given }))
        }
    }

    #[async_trait]
    impl Reader for FromHere {
        async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
            let next = self.next;
            let last = *self.last.wait_for(|last| *last >= next).await.unwrap();
            let many = (1 + next % 37).min(max as u64).min(last + 1 - next);
            self.next += many;
            *self.given.lock().unwrap() += many;
            Ok((next..next + many).map(entry).collect())
        }
    }

    fn entry(position: u64) -> Entry {
        let key = position * 7 % 101;
        let headers: Headers =
            [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/t"), ("ce-type", "t")]
                .into_iter()
                .chain([("ce-partitionkey", key.to_string().as_str())])
                .collect();
        let subject = "in.item".parse().unwrap();
        Entry {
            position: Position(position),
            subject,
            headers,
            payload: Bytes::new(),
            time: Timestamp::UNIX_EPOCH,
        }
    }

    fn spec() -> Arc<HandlerSpec> {
        let mut spec = HandlerSpec::new("count".parse().unwrap(), vec!["in.>".parse().unwrap()]);
        spec.key = vec!["ce.partitionkey".parse().unwrap()];
        Arc::new(spec)
    }

    /// What a partition gets from `from` on, up to the last entry; it rests after each `rest`-th bit.
    async fn take(source: Source, partition: u32, from: u64, rest: u64) -> (u32, Vec<(u64, bool)>) {
        let partitions = Partitions(PARTITIONS.try_into().unwrap());
        let share = Share { partition: Partition(partition), partitions };
        let open = Open { share, handled: BTreeSet::from([Position(from + 5)]), former: Vec::new() };
        let (sender, mut receiver) = mpsc::channel(2);
        let task = AbortOnDropHandle::new(tokio::spawn(source.run(Position(from), open, sender)));
        let (mut taken, mut bits) = (Vec::new(), 0);
        while taken.last().is_none_or(|(position, _)| *position < LAST) {
            for arrival in receiver.recv().await.unwrap().unwrap() {
                taken.push(match arrival {
                    Arrival::Input(input) => (input.entry.position.0, true),
                    Arrival::Handled(position) => {
                        assert_eq!(position.0, from + 5);
                        (position.0, false)
                    }
                    Arrival::Elsewhere(position) => (position.0, false),
                });
            }
            bits += 1;
            if rest != 0 && bits % rest == 0 {
                tokio::time::sleep(PATIENCE * 3).await;
            }
        }
        drop(task);
        (partition, taken)
    }

    /// Each partition's arrivals, and how many entries were read for all of them.
    async fn taken(rests: [u64; PARTITIONS as usize]) -> (BTreeMap<u32, Vec<(u64, bool)>>, u64) {
        let (last, given) = (watch::Sender::new(LAST / 3), Arc::default());
        let inputs = Arc::new(Growing { last: last.clone(), given: Arc::clone(&given) });
        let readings = Arc::new(Readings::new(spec(), Arc::new(SystemClock)));
        let mut parts = JoinSet::new();
        for (partition, rest) in (0..PARTITIONS).zip(rests) {
            let source = Source {
                inputs: inputs.clone(),
                origin: None,
                spec: spec(),
                readings: Some(readings.clone()),
            };
            parts.spawn(take(source, partition, 1 + u64::from(partition) * 40, rest));
        }
        let growing = async {
            for number in LAST / 3..=LAST {
                last.send_replace(number);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (taken, ()) =
            timeout(Duration::from_secs(600), async { tokio::join!(parts.join_all(), growing) })
                .await
                .unwrap();
        let given = *given.lock().unwrap();
        (taken.into_iter().collect(), given)
    }

    fn each_gets_all_of_it_once_in_order(taken: &BTreeMap<u32, Vec<(u64, bool)>>) {
        for (partition, taken) in taken {
            let from = 1 + u64::from(*partition) * 40;
            let positions: Vec<u64> = taken.iter().map(|(position, _)| *position).collect();
            assert_eq!(positions, (from..=LAST).collect::<Vec<_>>(), "partition {partition}");
        }
        for position in 200..=LAST {
            let whose = taken.values().filter(|taken| taken.contains(&(position, true))).count();
            assert_eq!(whose, 1, "{position}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn partitions_get_each_input_once_in_order_and_it_is_read_once() {
        let (taken, given) = taken([0; 4]).await;
        each_gets_all_of_it_once_in_order(&taken);
        assert!(given < LAST * 2, "{given} entries were read for {PARTITIONS} partitions");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_holds_up_nobody_and_misses_nothing() {
        let (taken, _) = taken([0, 3, 11, 1]).await;
        each_gets_all_of_it_once_in_order(&taken);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_read_any_more_hears_why_and_who_comes_later_begins_anew() {
        struct Gone;

        #[async_trait]
        impl Read for Gone {
            async fn read(&self, _: Position, _: &[Pattern], _: Part) -> Result<Box<dyn Reader>, ReadError> {
                Err(ReadError::Broken("gone".to_owned()))
            }
        }

        let readings = Arc::new(Readings::new(spec(), Arc::new(SystemClock)));
        for _ in 0..2 {
            let source = Source {
                inputs: Arc::new(Gone),
                origin: None,
                spec: spec(),
                readings: Some(readings.clone()),
            };
            let (sender, mut receiver) = mpsc::channel(2);
            let share =
                Share { partition: Partition(0), partitions: Partitions(PARTITIONS.try_into().unwrap()) };
            let open = Open { share, handled: BTreeSet::new(), former: Vec::new() };
            source.run(Position(1), open, sender).await;
            let heard = receiver.recv().await.unwrap();
            assert!(matches!(heard, Err(ReadError::Broken(why)) if why == "gone"));
        }
    }
}
