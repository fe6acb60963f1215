//! Requests over core NATS.
//!
//! The app's hosts share each handler's subjects in a queue group. Whoever gets a message that is another
//! host's passes it on to `wxr.<app>.<handler>.<partition>`, where the owner listens; the owner answers the
//! requester itself. No stream keeps these subjects.
//!
//! | module | noun |
//! | --- | --- |
//! | `line` | the connection, made anew where its client has died |
//! | `subscription` | messages of one subject |
//! | `outgoing` | everything that is sent, in one queue |
//! | `passing` | a message on its way from host to host |
//! | `headers` | headers on their way |
//! | `asking` | questions to others |

mod asking;
mod headers;
mod line;
mod outgoing;
mod passing;
mod subscription;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use async_nats::StatusCode;
use async_trait::async_trait;
use tokio::sync::mpsc;
use waxwing_engine::{
    entry::Partition,
    port::{
        Requests,
        requests::{Answer, Arrival, Incoming, Kind, Message, Sender},
    },
};
use waxwing_event::{HandlerName, HandlerSpec, Subject};

pub use self::{
    asking::NatsAsk,
    line::{Dial, DialError},
};
use self::{line::Line, outgoing::Outgoing, passing::Return, subscription::Subscription};
use crate::service::{self, Endpoint, Service, Verb};

/// Messages that may wait between a subscription and the one who takes them.
const ARRIVALS: usize = 1024;

/// Requests over core NATS.
pub struct NatsRequests {
    shared: Arc<Shared>,
    /// Tells that a message which was passed on found nobody.
    _returns: Subscription,
    announced: Mutex<Vec<Subscription>>,
}

struct Shared {
    line: Arc<Line>,
    outgoing: Outgoing,
    service: Service,
    /// Where the server tells that nobody listens to a subject.
    inbox: String,
    /// Who shares a handler's subjects on this host.
    sharing: Mutex<HashMap<HandlerName, mpsc::WeakSender<Arrival>>>,
}

impl NatsRequests {
    /// Connects, and announces the service as soon as it serves a handler that takes requests.
    pub async fn open(dial: Arc<dyn Dial>, service: Service) -> Result<NatsRequests, DialError> {
        let line = Arc::new(Line::open(dial).await?);
        let outgoing = Outgoing::start(line.clone());
        let inbox = line.current().new_inbox();
        let shared = Shared { line, outgoing, service, inbox, sharing: Mutex::default() };
        let shared = Arc::new(shared);
        let returns = shared.listen_to_returns().await;
        let requests = NatsRequests { shared, _returns: returns, announced: Mutex::default() };
        requests.announce().await;
        Ok(requests)
    }

    /// Announces the service if it is of use, and not yet announced.
    async fn announce(&self) {
        let is_announced = !self.announced().is_empty();
        if !is_announced && self.shared.service.is_of_use() {
            let announced = self.shared.announce().await;
            self.announced().extend(announced);
        }
    }

    fn announced(&self) -> MutexGuard<'_, Vec<Subscription>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    async fn announce(self: &Arc<Self>) -> Vec<Subscription> {
        let mut announced = Vec::new();
        for verb in Verb::ALL {
            for subject in self.service.subjects(verb) {
                let shared = self.clone();
                let answer = move |message: async_nats::Message| {
                    if let Some(reply) = message.reply {
                        shared.outgoing.publish(reply.into_string(), shared.service.response(verb).into());
                    }
                    None
                };
                announced.push(Subscription::start(self.line.clone(), subject, None, None, answer));
            }
        }
        for subscription in &mut announced {
            subscription.established().await;
        }
        announced
    }

    /// The server answers a message that nobody listens to with status 503: on the address that tells what it
    /// was about.
    async fn listen_to_returns(self: &Arc<Self>) -> Subscription {
        let shared = self.clone();
        let take = move |message: async_nats::Message| {
            if message.status == Some(StatusCode::NO_RESPONDERS)
                && let Some(returned) = Return::read(&shared.inbox, message.subject.as_str())
            {
                shared.returned(returned);
            }
            None
        };
        let subject = format!("{}.>", self.inbox);
        let mut returns = Subscription::start(self.line.clone(), subject, None, None, take);
        returns.established().await;
        returns
    }

    fn returned(&self, returned: Return) {
        match returned {
            Return::Request { handler, address } => self.outgoing.answer(address, &Answer::unowned(&handler)),
            Return::Live { handler } => {
                let sharing = self.sharing.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = sharing.get(&handler).and_then(mpsc::WeakSender::upgrade) {
                    // Where so much waits that this count finds no room, it is not exact.
                    let _ = sender.try_send(Arrival::Lost(1));
                }
            }
        }
    }

    fn set_sharing(&self, handler: HandlerName, sender: mpsc::WeakSender<Arrival>) {
        self.sharing.lock().unwrap_or_else(PoisonError::into_inner).insert(handler, sender);
    }

    fn message(&self, handler: &HandlerName, kind: Kind, message: async_nats::Message) -> Message {
        let subject = Subject::from_checked(message.subject.as_str());
        let headers = message.headers.as_ref().map(headers::from_nats).unwrap_or_default();
        let address = message.reply.map(|reply| reply.into_string());
        let sender = address.filter(|_| kind == Kind::Request);
        let sender = sender.map(|address| self.sender(handler, &subject, address));
        Message { kind, sender, subject, headers, payload: message.payload }
    }

    fn sender(&self, handler: &HandlerName, subject: &Subject, address: String) -> Box<dyn Sender> {
        let endpoint = self.service.endpoint(handler, subject);
        Box::new(NatsSender { outgoing: self.outgoing.clone(), address, endpoint, since: Instant::now() })
    }
}

#[async_trait]
impl Requests for NatsRequests {
    async fn share(&self, spec: &HandlerSpec) -> Box<dyn Incoming> {
        self.shared.service.serve(spec);
        self.announce().await;
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let group = service::queue_group(&self.shared.service.app, &spec.name);
        let subjects = [(Kind::Request, &spec.request), (Kind::Live, &spec.live)];
        let mut subscriptions = Vec::new();
        for (kind, subject) in subjects.iter().flat_map(|(kind, list)| list.iter().map(move |s| (*kind, s))) {
            let (shared, handler) = (self.shared.clone(), spec.name.clone());
            let take = move |message| Some(Arrival::Message(shared.message(&handler, kind, message)));
            subscriptions.push(Subscription::start(
                self.shared.line.clone(),
                subject.to_string(),
                Some(group.clone()),
                Some(sender.clone()),
                take,
            ));
        }
        self.shared.set_sharing(spec.name.clone(), sender.downgrade());
        // The subscriptions alone keep it open now.
        drop(sender);
        NatsIncoming::established(arrivals, subscriptions).await
    }

    async fn own(&self, handler: &HandlerName, partition: Partition) -> Box<dyn Incoming> {
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let subject = passing::subject(&self.shared.service.app, handler, partition);
        let (shared, handler) = (self.shared.clone(), handler.clone());
        let take = move |message: async_nats::Message| {
            let passed = passing::read(message)?;
            let sender = passed.address.map(|address| shared.sender(&handler, &passed.subject, address));
            let (kind, subject) = (passed.kind, passed.subject);
            let (headers, payload) = (passed.headers, passed.payload);
            Some(Arrival::Message(Message { kind, subject, headers, payload, sender }))
        };
        let subscription = Subscription::start(self.shared.line.clone(), subject, None, Some(sender), take);
        NatsIncoming::established(arrivals, vec![subscription]).await
    }

    fn pass_on(&self, message: Message, handler: &HandlerName, partition: Partition) {
        let shared = &self.shared;
        let subject = passing::subject(&shared.service.app, handler, partition);
        shared.outgoing.pass_on(passing::write(message, &shared.inbox, handler), subject);
    }

    async fn leave(&self) {
        let announced = std::mem::take(&mut *self.announced());
        announced.iter().for_each(Subscription::close);
        for subscription in announced {
            subscription.ended().await;
        }
    }

    async fn flush(&self) {
        self.shared.outgoing.flush().await;
    }
}

struct NatsIncoming {
    arrivals: mpsc::Receiver<Arrival>,
    subscriptions: Vec<Subscription>,
}

impl NatsIncoming {
    async fn established(
        arrivals: mpsc::Receiver<Arrival>,
        mut subscriptions: Vec<Subscription>,
    ) -> Box<dyn Incoming> {
        for subscription in &mut subscriptions {
            subscription.established().await;
        }
        Box::new(NatsIncoming { arrivals, subscriptions })
    }
}

#[async_trait]
impl Incoming for NatsIncoming {
    async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    fn close(&mut self) {
        self.subscriptions.iter().for_each(Subscription::close);
    }
}

/// A requester, somewhere on NATS.
struct NatsSender {
    outgoing: Outgoing,
    address: String,
    endpoint: Option<Arc<Endpoint>>,
    since: Instant,
}

impl Sender for NatsSender {
    fn address(&self) -> &str {
        &self.address
    }

    fn answer(self: Box<Self>, answer: &Answer) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.count(answer, self.since.elapsed());
        }
        self.outgoing.answer(self.address, answer);
    }
}
