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
