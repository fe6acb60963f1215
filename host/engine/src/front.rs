//! The front of a handler: takes requests and live messages as they come to this host, and brings each to the
//! host that owns the handler's partition: this one, or another.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use waxwing_event::{HandlerName, HandlerSpec, Position};

use crate::{
    door::{Door, Shut},
    engine::Ports,
    entry::{Partition, Partitions},
    gauges::Gauges,
    partition::Doorway,
    port::{
        Requests,
        requests::{Answer, Arrival, Incoming, Kind, Message},
    },
    shedding, source,
};

/// The fronts of an app's handlers on this host.
pub struct Fronts {
    requests: Arc<dyn Requests>,
    ports: Ports,
    close: CancellationToken,
    tasks: TaskTracker,
    tellers: TaskTracker,
}

impl Fronts {
    /// No fronts yet.
    pub fn new(requests: Arc<dyn Requests>, ports: Ports) -> Fronts {
        let (tasks, tellers) = (TaskTracker::new(), TaskTracker::new());
        Fronts { requests, ports, close: CancellationToken::new(), tasks, tellers }
    }

    /// Closes one front, or with all others.
    pub fn closing(&self) -> CancellationToken {
        self.close.child_token()
    }

    /// Begins to take what comes for a handler, if anything can, until `close`; `divided` tells into how many partitions
    /// it goes, and `end` ends the telling of what was shed.
    /// Gives the doorway, and what ends when all that had come before the close is taken up or passed on.
    pub async fn open(
        &self,
        spec: &Arc<HandlerSpec>,
        divided: &watch::Receiver<Partitions>,
        gauges: &Arc<Gauges>,
        close: &CancellationToken,
        end: &CancellationToken,
    ) -> Option<(Doorway, JoinHandle<()>)> {
        if spec.request.is_empty() && spec.live.is_empty() {
            return None;
        }
        let (handler, requests) = (spec.name.clone(), self.requests.clone());
        let door = Door::new(handler.clone(), &spec.limits, gauges.clone());
        let incoming = requests.share(spec).await;
        let front = Front { handler: handler.clone(), requests: requests.clone(), door: door.clone() };
        let (spec, divided) = (spec.clone(), divided.clone());
        let to = move |message: &Message| partition_of(message, &spec, *divided.borrow());
        let front = self.tasks.spawn(front.take_shared(to, incoming, close.clone()));
        let (clock, observe) = (self.ports.clock.clone(), self.ports.observe.clone());
        self.tellers.spawn(shedding::tell(handler, door.clone(), clock, observe, end.clone()));
        Some((Doorway { door, requests }, front))
    }

    /// Lets no more come; returns when what had come is taken up or passed on.
    pub async fn close(&self) {
        self.requests.leave().await;
        self.close.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Returns when all answers are on their way and all that was shed is told.
    pub async fn end(&self) {
        self.close.cancel();
        self.tellers.close();
        self.tellers.wait().await;
        self.requests.flush().await;
    }
}

impl Drop for Fronts {
    fn drop(&mut self) {
        self.close.cancel();
    }
}

/// Takes what comes for one handler.
pub struct Front {
    /// The handler.
    pub handler: HandlerName,
    /// Where messages come from, and where those go that are not for this host.
    pub requests: Arc<dyn Requests>,
    /// Where they go on this host.
    pub door: Door,
}

impl Front {
    /// Takes messages of the handler's own subjects until `stop`, and then those that had come; `to` says to which
    /// partition each goes.
    pub async fn take_shared(
        self,
        to: impl Fn(&Message) -> Partition,
        incoming: Box<dyn Incoming>,
        stop: CancellationToken,
    ) {
        let take = |message: Message| {
            let partition = to(&message);
            if let Err(Shut::Elsewhere(message)) = self.door.enter(message, partition) {
                self.requests.pass_on(*message, &self.handler, partition);
            }
        };
        self.take(incoming, stop, take).await;
    }

    /// Takes what other hosts pass on to a partition until `stop`, and then what had come. It goes no further: hosts that
    /// do not agree on the owner shall not play with it.
    pub async fn take_passed_on(
        self,
        partition: Partition,
        incoming: Box<dyn Incoming>,
        stop: CancellationToken,
    ) {
        let take = |message| {
            if let Err(Shut::Elsewhere(message)) = self.door.enter(message, partition) {
                let Message { kind, sender, .. } = *message;
                match (kind, sender) {
                    (Kind::Live, _) => self.door.shed(1),
                    (Kind::Request, Some(sender)) => sender.answer(&Answer::unowned(&self.handler)),
                    (Kind::Request, None) => {}
                }
            }
        };
        self.take(incoming, stop, take).await;
    }

    async fn take(&self, mut incoming: Box<dyn Incoming>, stop: CancellationToken, take: impl Fn(Message)) {
        let mut is_open = true;
        loop {
            tokio::select! {
                arrival = incoming.next() => match arrival {
                    Some(Arrival::Message(message)) => take(message),
                    Some(Arrival::Lost(count)) => self.door.shed(count),
                    None => return,
                },
                () = stop.cancelled(), if is_open => {
                    is_open = false;
                    incoming.close();
                }
            }
        }
    }
}

/// The partition of a message's key; of one that has none, it does not matter: it fails wherever it runs.
fn partition_of(message: &Message, spec: &HandlerSpec, partitions: Partitions) -> Partition {
    if partitions.is_one() {
        return Partition(0);
    }
    let Message { subject, headers, payload, .. } = message;
    let key = source::key_of_message(subject, headers, payload, spec);
    partitions.of(key.as_deref(), Position::NONE)
}
