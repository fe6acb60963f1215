//! Hosts and requesters for the contract tests: on a server of their own, or in memory.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;
use waxwing_engine::port::{Requests, requests::Answer};
use waxwing_event::{Headers, Subject};
use waxwing_request::{
    MemoryRequests, NatsRequests,
    nats::{Dial, DialError},
    service::{ERROR_CODE_HEADER, ERROR_HEADER, Service},
};

use crate::{app::PATIENCE, server::TestServer};

/// Where hosts and requesters meet.
pub enum Bed {
    Nats { server: Box<TestServer>, requester: async_nats::Client },
    Memory(MemoryRequests),
}

/// Makes two tests of an async function: over NATS and in memory.
macro_rules! both {
    ($name:ident) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn over_nats() {
                super::$name(super::bed::Bed::nats().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn in_memory() {
                super::$name(super::bed::Bed::memory()).await;
            }
        }
    };
}
pub(super) use both;

pub struct At(pub String);

#[async_trait]
impl Dial for At {
    async fn dial(&self) -> Result<async_nats::Client, DialError> {
        Ok(async_nats::connect(&self.0).await?)
    }
}

/// The app `shop` on this host.
pub fn service(host: &str) -> Service {
    Service::new("shop".parse().unwrap(), host.to_owned(), &[super::spec()])
}

impl Bed {
    pub async fn nats() -> Bed {
        let server = Box::new(TestServer::start().await);
        let requester = async_nats::connect(server.process.url()).await.unwrap();
        Bed::Nats { server, requester }
    }

    pub fn memory() -> Bed {
        Bed::Memory(MemoryRequests::default())
    }

    pub async fn host(&self, name: &str) -> Arc<dyn Requests> {
        match self {
            Bed::Nats { server, .. } => {
                let dial = Arc::new(At(server.process.url()));
                Arc::new(NatsRequests::open(dial, service(name)).await.unwrap())
            }
            Bed::Memory(requests) => Arc::new(requests.clone()),
        }
    }

    /// Asks; none: nobody listens, or whoever did is gone.
    pub fn ask(&self, subject: &str, headers: &Headers, payload: &str) -> JoinHandle<Option<Answer>> {
        let (subject, payload) = (Subject::from_checked(subject), Bytes::copy_from_slice(payload.as_bytes()));
        let headers = headers.clone();
        match self {
            Bed::Nats { requester, .. } => {
                tokio::spawn(ask_nats(requester.clone(), subject, headers, payload))
            }
            Bed::Memory(requests) => {
                let requests = requests.clone();
                tokio::spawn(async move { requests.request(&subject, headers, payload).await })
            }
        }
    }

    /// Asks, and once more where no answer comes for a while, as who asks should. What is under way to a subscription
    /// that drains can get lost over NATS: async-nats 0.51 forgets the subscription once it has told the server, and
    /// drops what the server sent before it heard of that (`Command::Drain` in its lib.rs).
    pub fn ask_twice(self: &Arc<Self>, subject: &'static str, payload: String) -> JoinHandle<Option<Answer>> {
        const FIRST: Duration = Duration::from_secs(5);
        let bed = self.clone();
        tokio::spawn(async move {
            let ask = || bed.ask(subject, &Headers::new(), &payload);
            match tokio::time::timeout(FIRST, ask()).await {
                Ok(answer) => answer.unwrap(),
                Err(_) => ask().await.unwrap(),
            }
        })
    }

    pub async fn publish(&self, subject: &str, payload: &str) {
        let (subject, payload) = (Subject::from_checked(subject), Bytes::copy_from_slice(payload.as_bytes()));
        match self {
            Bed::Nats { requester, .. } => {
                requester.publish(subject.as_str().to_owned(), payload).await.unwrap()
            }
            Bed::Memory(requests) => assert!(requests.publish(&subject, Headers::new(), payload) > 0),
        }
    }
}

pub async fn ask_nats(
    requester: async_nats::Client,
    subject: Subject,
    headers: Headers,
    payload: Bytes,
) -> Option<Answer> {
    let mut map = async_nats::HeaderMap::new();
    headers.iter().for_each(|(name, value)| map.insert(name, value));
    let request = async_nats::Request::new().headers(map).payload(payload).timeout(Some(PATIENCE));
    let message = requester.send_request(subject.as_str().to_owned(), request).await.ok()?;
    let map = message.headers.unwrap_or_default();
    let text = |name: &str| map.get(name).map(|value| value.to_string());
    if let (Some(code), Some(reason)) = (text(ERROR_CODE_HEADER), text(ERROR_HEADER)) {
        return Some(Answer::Refused { code: code.parse().unwrap(), reason });
    }
    let mut pairs: Vec<_> =
        map.iter().map(|(name, values)| (name.to_string(), values[0].to_string())).collect();
    pairs.sort();
    Some(Answer::Reply { headers: pairs.into_iter().collect(), payload: message.payload })
}

/// What comes in time; a test that waits longer has failed.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE.min(Duration::from_secs(60)), future).await.expect("it comes in time")
}
