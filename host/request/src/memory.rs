//! Requests within one process: several hosts of an app can share them, as over NATS.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{
    mpsc::{self, error::SendError},
    oneshot,
};
use waxwing_engine::{
    entry::Partition,
    port::{
        Requests,
        requests::{Answer, Arrival, Incoming, Kind, Message, Sender},
    },
};
use waxwing_event::{HandlerName, HandlerSpec, Headers, Subject};

/// Requests of one app within a process. Clones are the same.
#[derive(Clone, Default)]
pub struct MemoryRequests {
    listeners: Arc<Mutex<Listeners>>,
}

#[derive(Default)]
struct Listeners {
    shared: Vec<(HandlerSpec, mpsc::UnboundedSender<Arrival>)>,
    /// How many messages have come: hosts take turns.
    turns: usize,
    owners: HashMap<(HandlerName, Partition), mpsc::UnboundedSender<Arrival>>,
}

impl MemoryRequests {
    /// Asks as a requester would; none where nobody listens, or the one who did is gone.
    pub async fn request(&self, subject: &Subject, headers: Headers, payload: Bytes) -> Option<Answer> {
        let (sender, answer) = oneshot::channel();
        let asker = Asker { address: format!("memory {}", self.listeners().turns), answer: sender };
        if self.send(Kind::Request, subject, headers, payload, Some(Box::new(asker))) == 0 {
            return None;
        }
        answer.await.ok()
    }

    /// Publishes a live message; says how many handlers it has reached.
    pub fn publish(&self, subject: &Subject, headers: Headers, payload: Bytes) -> usize {
        self.send(Kind::Live, subject, headers, payload, None)
    }

    fn send(
        &self,
        kind: Kind,
        subject: &Subject,
        headers: Headers,
        payload: Bytes,
        sender: Option<Box<dyn Sender>>,
    ) -> usize {
        let mut listeners = self.listeners();
        let mut sender = sender;
        loop {
            let (chosen, mut reached) = (listeners.chosen(kind, subject), 0);
            let is_any = !chosen.is_empty();
            for listener in chosen {
                let (subject, headers, payload) = (subject.clone(), headers.clone(), payload.clone());
                let message = Message { kind, subject, headers, payload, sender: sender.take() };
                match listener.send(Arrival::Message(message)) {
                    Ok(()) => reached += 1,
                    // It has closed in this moment: a request goes to another.
                    Err(SendError(Arrival::Message(message))) => sender = message.sender,
                    Err(SendError(Arrival::Lost(_))) => {}
                }
            }
            if reached > 0 || !is_any || kind == Kind::Live {
                return reached;
            }
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listeners {
    /// One host for each handler that listens to the subject.
    fn chosen(&mut self, kind: Kind, subject: &Subject) -> Vec<mpsc::UnboundedSender<Arrival>> {
        self.shared.retain(|(_, listener)| !listener.is_closed());
        let mut by_handler: Vec<(&HandlerName, Vec<&mpsc::UnboundedSender<Arrival>>)> = Vec::new();
        for (spec, listener) in &self.shared {
            let subjects = if kind == Kind::Request { &spec.request } else { &spec.live };
            if !subjects.iter().any(|pattern| pattern.matches(subject.as_str())) {
                continue;
            }
            match by_handler.iter_mut().find(|(name, _)| **name == spec.name) {
                Some((_, hosts)) => hosts.push(listener),
                None => by_handler.push((&spec.name, vec![listener])),
            }
        }
        self.turns = self.turns.wrapping_add(1);
        let turn = |hosts: &Vec<&mpsc::UnboundedSender<Arrival>>| self.turns.checked_rem(hosts.len());
        by_handler
            .iter()
            .filter_map(|(_, hosts)| hosts.get(turn(hosts)?).map(|host| (*host).clone()))
            .collect()
    }
}

#[async_trait]
impl Requests for MemoryRequests {
    async fn share(&self, spec: &HandlerSpec) -> Box<dyn Incoming> {
        let (sender, arrivals) = mpsc::unbounded_channel();
        self.listeners().shared.push((spec.clone(), sender));
        Box::new(MemoryIncoming(arrivals))
    }

    async fn own(&self, handler: &HandlerName, partition: Partition) -> Box<dyn Incoming> {
        let (sender, arrivals) = mpsc::unbounded_channel();
        self.listeners().owners.insert((handler.clone(), partition), sender);
        Box::new(MemoryIncoming(arrivals))
    }

    fn pass_on(&self, message: Message, handler: &HandlerName, partition: Partition) {
        let listeners = self.listeners();
        let owner = listeners.owners.get(&(handler.clone(), partition)).filter(|owner| !owner.is_closed());
        if let Some(owner) = owner {
            // It was there a moment ago; a message that it never takes is settled when it is dropped.
            let _ = owner.send(Arrival::Message(message));
            return;
        }
        match message.sender {
            Some(sender) => sender.answer(&Answer::unowned(handler)),
            None => {
                let mut sharing = listeners.shared.iter().filter(|(spec, _)| spec.name == *handler);
                if let Some((_, listener)) = sharing.next() {
                    let _ = listener.send(Arrival::Lost(1));
                }
            }
        }
    }

    async fn leave(&self) {}

    async fn flush(&self) {}
}

struct MemoryIncoming(mpsc::UnboundedReceiver<Arrival>);

#[async_trait]
impl Incoming for MemoryIncoming {
    async fn next(&mut self) -> Option<Arrival> {
        self.0.recv().await
    }

    fn close(&mut self) {
        self.0.close();
    }
}

/// A requester in this process; dropped without an answer, it hears that none will come.
struct Asker {
    address: String,
    answer: oneshot::Sender<Answer>,
}

impl Sender for Asker {
    fn address(&self) -> &str {
        &self.address
    }

    fn answer(self: Box<Self>, answer: &Answer) {
        // A requester may have given up.
        let _ = self.answer.send(answer.clone());
    }
}
