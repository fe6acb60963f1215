//! The moments at which a host is killed, and how they show on its connections.

use std::collections::HashSet;

use rand::{Rng, rngs::StdRng};

use super::wire::{Frame, Message};

/// Inputs are what stands on these subjects.
const INPUTS: &str = "in.";

/// A point on the way of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// An input is about to be delivered, or just was.
    BeforeTheRun,
    /// The first bytes of a commit are published; none of them gets through.
    AfterTheRun,
    /// Some messages of a batch got through.
    MidBatch,
    /// The server has acknowledged a commit; the host does not hear of it.
    AfterTheCommit,
}

/// One occurrence of a point.
#[derive(Debug, Clone)]
pub struct Moment {
    point: Point,
    /// Which occurrence, from 1.
    nth: u32,
    /// Before the run: whether the delivery gets through.
    delivered: bool,
    /// Mid-batch: how many messages get through, the last never.
    messages: u32,
}

impl Moment {
    /// Any of the first occurrences of a point.
    pub fn random(point: Point, random: &mut StdRng) -> Moment {
        let last = match point {
            Point::BeforeTheRun => 80,
            Point::AfterTheRun | Point::AfterTheCommit => 30,
            Point::MidBatch => 4,
        };
        Moment {
            point,
            nth: random.random_range(1..=last),
            delivered: random.random(),
            // Often just one or two, and often all but the last.
            messages: 1 << random.random_range(0..7),
        }
    }
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToHost,
}

/// What happens to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// It gets through, and then the moment has come.
    PassAndFire,
    /// The moment has come before it gets through.
    Fire,
}

/// Looks for a moment.
#[derive(Debug)]
pub struct Lookout {
    moment: Moment,
    occurred: u32,
    /// Where acknowledgements of commits go.
    inboxes: HashSet<String>,
    /// The batch in which the moment lies.
    batch: Option<String>,
}

impl Lookout {
    pub fn new(moment: Moment) -> Lookout {
        Lookout { moment, occurred: 0, inboxes: HashSet::new(), batch: None }
    }

    /// Decides about the next frame.
    pub fn look(&mut self, way: Way, frame: &Frame<'_>) -> Fate {
        let Frame::Message(message) = frame else { return Fate::Pass };
        match (self.moment.point, way) {
            (Point::BeforeTheRun, Way::ToHost) if is_input(message) && self.occurs() => {
                if self.moment.delivered { Fate::PassAndFire } else { Fate::Fire }
            }
            (Point::AfterTheRun, Way::ToServer) if begins_commit(message) && self.occurs() => Fate::Fire,
            (Point::MidBatch, Way::ToServer) if self.ends_in_batch(message) => Fate::Fire,
            (Point::AfterTheCommit, Way::ToServer) if is_of_commit(message) => {
                self.inboxes.extend(message.reply.map(str::to_owned));
                Fate::Pass
            }
            (Point::AfterTheCommit, Way::ToHost) if self.acknowledges(message) && self.occurs() => Fate::Fire,
            _ => Fate::Pass,
        }
    }

    fn occurs(&mut self) -> bool {
        self.occurred += 1;
        self.occurred == self.moment.nth
    }

    fn ends_in_batch(&mut self, message: &Message<'_>) -> bool {
        let Some((batch, number)) = of_batch(message) else { return false };
        if number == 1 && is_of_commit(message) && self.occurs() {
            self.batch = Some(batch.to_owned());
        }
        let is_last = message.header("Nats-Batch-Commit").is_some();
        self.batch.as_deref() == Some(batch) && (is_last || number > self.moment.messages)
    }

    /// The first of a batch is answered too, with nothing.
    fn acknowledges(&self, message: &Message<'_>) -> bool {
        self.inboxes.contains(message.subject) && !message.payload.is_empty()
    }
}

/// A whole input on its way to a host; what recovery reads comes without payloads.
pub fn is_input(message: &Message<'_>) -> bool {
    is_delivery(message) && message.subject.starts_with(INPUTS) && !message.payload.is_empty()
}

/// An entry on its way to a reader.
pub fn is_delivery(message: &Message<'_>) -> bool {
    message.reply.is_some_and(|reply| reply.starts_with("$JS.ACK."))
}

/// Checkpoints, leases and signs of life have no mark.
fn is_of_commit(message: &Message<'_>) -> bool {
    message.header("wx-mark").is_some()
}

fn begins_commit(message: &Message<'_>) -> bool {
    is_of_commit(message) && of_batch(message).is_none_or(|(_, number)| number == 1)
}

fn of_batch<'a>(message: &Message<'a>) -> Option<(&'a str, u32)> {
    let number = message.header("Nats-Batch-Sequence")?;
    Some((message.header("Nats-Batch-Id")?, number.parse().unwrap()))
}
