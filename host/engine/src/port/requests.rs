//! Requests and live messages: what comes from outside the log, and the answers that go back.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_event::{HandlerName, HandlerSpec, Headers, Subject};

use crate::entry::Partition;

/// The header by which a second request of the same id is known.
pub const ID_HEADER: &str = "Nats-Msg-Id";

/// Brings messages to this host, and takes them to others.
#[async_trait]
pub trait Requests: Send + Sync {
    /// Listens to a handler's `request` and `live` subjects together with the app's other hosts: each message
    /// comes to one of them. Returns when messages can come.
    async fn share(&self, spec: &HandlerSpec) -> Box<dyn Incoming>;

    /// Listens to what other hosts pass on to the owner of a partition. Returns when messages can come.
    async fn own(&self, handler: &HandlerName, partition: Partition) -> Box<dyn Incoming>;

    /// Passes a message on to the owner of a partition, who answers it. Where there is none, a request is
    /// answered with [`Answer::unowned`], and a live message comes back to those who share the handler as
    /// [`Arrival::Lost`]. Returns at once.
    fn pass_on(&self, message: Message, handler: &HandlerName, partition: Partition);

    /// This host is no longer announced as one that answers.
    async fn leave(&self);

    /// Returns when the answers that were given so far are on their way.
    async fn flush(&self);
}

/// Messages as they come.
#[async_trait]
pub trait Incoming: Send {
    /// Waits for the next; none after [`Incoming::close`], when all that had come is given out. A future
    /// dropped while it waits loses none.
    async fn next(&mut self) -> Option<Arrival>;

    /// Lets no more come; what has come is still given out.
    fn close(&mut self);
}

/// What comes in.
#[derive(Debug)]
pub enum Arrival {
    /// A message.
    Message(Message),
    /// So many live messages of this handler were passed on in vain: they are gone.
    Lost(u64),
}

/// A request or a live message.
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// The subject on which it was published.
    pub subject: Subject,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
    /// Who waits for an answer; nobody waits for one to a live message.
    pub sender: Option<Box<dyn Sender>>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Handled, committed, then answered.
    Request,
    /// Handled at most once.
    Live,
}

impl Kind {
    /// The kind as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Request => "request",
            Kind::Live => "live",
        }
    }
}

/// Who waits for an answer.
pub trait Sender: Send {
    /// Where the answer goes, as any host can send it.
    fn address(&self) -> &str;

    /// Answers. Returns at once.
    fn answer(self: Box<Self>, answer: &Answer);
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What the handler replied.
    Reply {
        /// Headers of the answer.
        headers: Headers,
        /// The data.
        payload: Bytes,
    },
    /// It was not handled.
    Refused {
        /// What kind of failure, as HTTP numbers them.
        code: u16,
        /// For people: one line.
        reason: String,
    },
}

impl Answer {
    /// The handler did this request no good, and would not a second time.
    pub const BAD_REQUEST: u16 = 400;
    /// Too many requests wait.
    pub const TOO_MANY: u16 = 429;
    /// The handler failed.
    pub const FAILED: u16 = 500;
    /// Nobody can handle it now; a later attempt may succeed.
    pub const UNAVAILABLE: u16 = 503;

    /// The answer where no host owns the partition.
    pub fn unowned(handler: &HandlerName) -> Answer {
        let reason = format!("no host has the handler `{handler}` at this moment: ask again");
        Answer::Refused { code: Answer::UNAVAILABLE, reason }
    }
}

impl Message {
    /// The id by which a second one is known; none: every one is handled.
    pub fn id(&self) -> Option<&str> {
        self.headers.get(ID_HEADER).filter(|id| !id.is_empty())
    }

    /// Bytes of subject, headers and payload.
    pub fn size_bytes(&self) -> usize {
        self.subject.as_str().len() + self.headers.size_bytes() + self.payload.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("subject", &self.subject)
            .field("headers", &self.headers)
            .field("payload", &self.payload)
            .field("address", &self.sender.as_ref().map(|sender| sender.address()))
            .finish()
    }
}
