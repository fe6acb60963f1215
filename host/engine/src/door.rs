//! The door between a handler's front and the partition that serves it: how much may wait there, and what
//! becomes of messages that do not get in or that nobody takes up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use waxwing_event::{HandlerName, Headers, Subject, handler::Limits};

use crate::{
    answer,
    entry::Partition,
    gauges::Gauges,
    port::requests::{Answer, Kind, Message, Sender},
};

/// Where messages wait for their run. Clones are the same door.
#[derive(Clone)]
pub struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    handler: HandlerName,
    gauges: Arc<Gauges>,
    inner: Mutex<Inner>,
    /// Live messages that were shed and not yet told of.
    shed: AtomicU64,
    news: Notify,
}

struct Inner {
    /// Behind it, each partition while this host serves it. Unbounded, but what waits is not: see [`Room`].
    inside: BTreeMap<Partition, mpsc::UnboundedSender<Visitor>>,
    requests: Room,
    live: Room,
}

/// How much waits of one kind, and how much may.
#[derive(Debug)]
struct Room {
    count: usize,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

/// Why a message did not get in.
#[derive(Debug)]
pub enum Shut {
    /// This host does not serve the partition now.
    Elsewhere(Box<Message>),
    /// Too much waits. The message was answered, or counted as shed.
    Full,
}

impl Door {
    /// A door with nobody behind it.
    pub fn new(handler: HandlerName, limits: &Limits, gauges: Arc<Gauges>) -> Door {
        let inner = Mutex::new(Inner {
            inside: BTreeMap::new(),
            requests: Room::new(limits),
            live: Room::new(limits),
        });
        let shared = Shared { handler, gauges, inner, shed: AtomicU64::new(0), news: Notify::new() };
        Door { shared: Arc::new(shared) }
    }

    /// Lets a message in, to wait for its run in a partition.
    pub fn enter(&self, message: Message, partition: Partition) -> Result<(), Shut> {
        let mut inner = self.inner();
        let inside = inner.inside.get(&partition).filter(|inside| !inside.is_closed());
        let Some(inside) = inside.cloned() else {
            return Err(Shut::Elsewhere(Box::new(message)));
        };
        let (kind, bytes) = (message.kind, message.size_bytes());
        let taken = inner.room(kind).take(bytes);
        self.show(&inner);
        drop(inner);
        if taken {
            let place = Place { door: self.clone(), kind, bytes };
            // A visitor whom nobody receives any more is settled when it is dropped.
            let _ = inside.send(Visitor::new(message, place));
            return Ok(());
        }
        self.turn_away(message);
        Err(Shut::Full)
    }

    /// Opens the door to a partition: its visitors come out of it until it is dropped.
    pub fn open(&self, partition: Partition) -> mpsc::UnboundedReceiver<Visitor> {
        let (inside, visitors) = mpsc::unbounded_channel();
        self.inner().inside.insert(partition, inside);
        visitors
    }

    /// So many live messages are gone without having been handled.
    pub fn shed(&self, count: u64) {
        self.shared.shed.fetch_add(count, SeqCst);
        self.shared.gauges.shed.fetch_add(count, SeqCst);
        self.shared.news.notify_one();
    }

    /// Waits until live messages were shed.
    pub async fn has_shed(&self) {
        while self.shared.shed.load(SeqCst) == 0 {
            self.shared.news.notified().await;
        }
    }

    /// How many live messages were shed since this was last asked.
    pub fn take_shed(&self) -> u64 {
        self.shared.shed.swap(0, SeqCst)
    }

    fn turn_away(&self, message: Message) {
        match message.kind {
            Kind::Live => self.shed(1),
            Kind::Request => {
                Gauges::count(&self.shared.gauges.turned_away);
                let reason = format!("too many requests wait for the handler `{}`", self.shared.handler);
                if let Some(sender) = message.sender {
                    sender.answer(&answer::refused(Answer::TOO_MANY, &reason));
                }
            }
        }
    }

    fn show(&self, inner: &Inner) {
        Gauges::set(&self.shared.gauges.requests_waiting, inner.requests.count);
        Gauges::set(&self.shared.gauges.live_waiting, inner.live.count);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change keeps the counts whole, so a panic elsewhere does no harm.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn room(&mut self, kind: Kind) -> &mut Room {
        match kind {
            Kind::Request => &mut self.requests,
            Kind::Live => &mut self.live,
        }
    }
}

impl Room {
    fn new(limits: &Limits) -> Room {
        let most_bytes = usize::try_from(limits.waiting_bytes).unwrap_or(usize::MAX);
        Room { count: 0, bytes: 0, most: limits.waiting as usize, most_bytes }
    }

    /// Takes a place; false where there is none. One message always finds room, whatever its size.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.count == 0 || self.bytes.saturating_add(bytes) <= self.most_bytes;
        if self.count >= self.most || !fits {
            return false;
        }
        self.count += 1;
        self.bytes += bytes;
        true
    }

    fn give_back(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// A place of one that waits; given back when it is dropped.
struct Place {
    door: Door,
    kind: Kind,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.door.inner();
        inner.room(self.kind).give_back(self.bytes);
        self.door.show(&inner);
    }
}

/// A message that got in.
pub struct Visitor {
    /// What it is.
    pub kind: Kind,
    /// The subject on which it was published.
    pub subject: Subject,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
    /// The id by which a second request is known; none: every one is handled.
    pub id: Option<String>,
    /// Who waits.
    pub asker: Asker,
}

impl Visitor {
    fn new(message: Message, place: Place) -> Visitor {
        let id = message.id().filter(|_| message.kind == Kind::Request).map(str::to_owned);
        let Message { kind, subject, headers, payload, sender } = message;
        let asker = Asker { door: place.door.clone(), kind, sender, place: Some(place), stage: Stage::Waits };
        Visitor { kind, subject, headers, payload, id, asker }
    }
}

/// Who waits for the end of a message: settled exactly once, in the worst case as one that was not handled.
pub struct Asker {
    door: Door,
    kind: Kind,
    sender: Option<Box<dyn Sender>>,
    place: Option<Place>,
    stage: Stage,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waits,
    Runs,
    Settled,
}

impl Asker {
    /// The message runs: another may wait in its place.
    pub fn begin(&mut self) {
        self.place = None;
        self.stage = Stage::Runs;
    }

    /// The message waits for the end of another that is the same.
    pub fn join(&mut self) {
        self.stage = Stage::Runs;
    }

    /// The message was handled, or will not be.
    pub fn settle(mut self, answer: &Answer) {
        self.stage = Stage::Settled;
        if let Some(sender) = self.sender.take() {
            sender.answer(answer);
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let reason = match self.stage {
            Stage::Settled => return,
            Stage::Waits => "the host stopped or was interrupted before the request was handled: ask again",
            Stage::Runs => {
                "the host was interrupted, and whether the request was handled is not known: ask again, with \
                 the same Nats-Msg-Id"
            }
        };
        match (self.kind, self.sender.take()) {
            (Kind::Live, _) => self.door.shed(1),
            (Kind::Request, Some(sender)) => sender.answer(&answer::refused(Answer::UNAVAILABLE, reason)),
            (Kind::Request, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as sync;

    use super::*;

    struct Test(sync::Sender<Answer>);

    impl Sender for Test {
        fn address(&self) -> &str {
            "test"
        }

        fn answer(self: Box<Self>, answer: &Answer) {
            // Most of these tests do not listen.
            let _ = self.0.send(answer.clone());
        }
    }

    fn message(kind: Kind, bytes: usize) -> (Message, sync::Receiver<Answer>) {
        let (sender, answers) = sync::channel();
        let message = Message {
            kind,
            subject: Subject::from_checked("s"),
            headers: Headers::new(),
            payload: vec![0; bytes - 1].into(),
            sender: Some(Box::new(Test(sender))),
        };
        (message, answers)
    }

    fn door(waiting: u32, waiting_bytes: u64) -> Door {
        let limits = Limits { waiting, waiting_bytes, ..Limits::default() };
        Door::new("basket".parse().unwrap(), &limits, Arc::default())
    }

    fn code(answers: &sync::Receiver<Answer>) -> u16 {
        match answers.try_recv().unwrap() {
            Answer::Refused { code, .. } => code,
            Answer::Reply { .. } => 200,
        }
    }

    #[test]
    fn lets_nobody_in_where_nobody_serves() {
        let door = door(9, 999);
        assert!(matches!(door.enter(message(Kind::Request, 1).0, Partition(0)), Err(Shut::Elsewhere(_))));
        drop(door.open(Partition(0)));
        assert!(matches!(door.enter(message(Kind::Live, 1).0, Partition(0)), Err(Shut::Elsewhere(_))));
        assert_eq!(door.take_shed(), 0);
    }

    #[test]
    fn bounds_what_waits_by_number_for_each_kind() {
        let door = door(2, 999);
        let mut visitors = door.open(Partition(0));
        for kind in [Kind::Request, Kind::Live] {
            assert!(door.enter(message(kind, 1).0, Partition(0)).is_ok());
            assert!(door.enter(message(kind, 1).0, Partition(0)).is_ok());
        }
        let (third, answers) = message(Kind::Request, 1);
        assert!(matches!(door.enter(third, Partition(0)), Err(Shut::Full)));
        assert_eq!(code(&answers), Answer::TOO_MANY);
        assert!(matches!(door.enter(message(Kind::Live, 1).0, Partition(0)), Err(Shut::Full)));
        assert_eq!((door.take_shed(), door.take_shed()), (1, 0));
        let mut first = visitors.try_recv().unwrap();
        first.asker.begin();
        assert!(door.enter(message(Kind::Request, 1).0, Partition(0)).is_ok());
    }

    #[test]
    fn bounds_what_waits_by_bytes() {
        let door = door(9, 10);
        let _visitors = door.open(Partition(0));
        assert!(door.enter(message(Kind::Request, 4).0, Partition(0)).is_ok());
        assert!(matches!(door.enter(message(Kind::Request, 7).0, Partition(0)), Err(Shut::Full)));
        assert!(door.enter(message(Kind::Request, 6).0, Partition(0)).is_ok());
        assert!(door.enter(message(Kind::Live, 99).0, Partition(0)).is_ok());
    }

    #[test]
    fn nobody_is_left_without_an_answer() {
        let door = door(9, 99);
        let mut visitors = door.open(Partition(0));
        let (settled, settled_answers) = message(Kind::Request, 1);
        let (begun, begun_answers) = message(Kind::Request, 1);
        let (waiting, waiting_answers) = message(Kind::Request, 1);
        for message in [settled, begun, waiting, message(Kind::Live, 1).0] {
            door.enter(message, Partition(0)).unwrap();
        }
        let reply = Answer::Reply { headers: Headers::new(), payload: Bytes::new() };
        visitors.try_recv().unwrap().asker.settle(&reply);
        visitors.try_recv().unwrap().asker.begin();
        drop(visitors);
        assert_eq!((code(&settled_answers), settled_answers.try_recv().is_err()), (200, true));
        assert_eq!((code(&begun_answers), code(&waiting_answers)), (503, 503));
        assert_eq!(door.take_shed(), 1);
    }
}
