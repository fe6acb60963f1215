//! Everything that is sent: one queue, so that whoever has something to send need not wait.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use async_nats::HeaderMap;
use async_nats::client::PublishErrorKind;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use waxwing_engine::{answer, port::requests::Answer};

use super::{headers, line::Line, passing::Passing};
use crate::service;

/// Messages that may wait to be sent; more are dropped. Answers are fewer than requests under way, so this is
/// reached when the connection is slower than what it has to refuse.
const MAX_WAITING: usize = 1 << 16;

/// A handle to the queue; it ends when all of them are gone.
#[derive(Clone)]
pub(super) struct Outgoing {
    sender: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Publish {
        subject: String,
        reply: Option<String>,
        headers: HeaderMap,
        payload: Bytes,
        address: Option<String>,
    },
    Flush(oneshot::Sender<()>),
}

impl Outgoing {
    pub(super) fn start(line: Arc<Line>) -> Outgoing {
        let (sender, items) = mpsc::channel(MAX_WAITING);
        // Ends with its last handle.
        tokio::spawn(send_all(line, items));
        Outgoing { sender, dropped: Arc::default() }
    }

    /// Sends plain data.
    pub(super) fn publish(&self, subject: String, payload: Bytes) {
        self.put(Item::Publish { subject, reply: None, headers: HeaderMap::new(), payload, address: None });
    }

    /// Answers a request.
    pub(super) fn answer(&self, address: String, answer: &Answer) {
        let (headers, payload) = service::encode(answer);
        let (subject, headers) = (address, headers::to_nats(&headers));
        self.put(Item::Publish { subject, reply: None, headers, payload, address: None });
    }

    /// Passes a message on.
    pub(super) fn pass_on(&self, passing: Passing, subject: String) {
        let Passing { headers, payload, reply, address } = passing;
        self.put(Item::Publish { subject, reply: Some(reply), headers, payload, address });
    }

    /// Returns when everything before is on its way, or the connection is gone.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.sender.send(Item::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }

    fn put(&self, item: Item) {
        if self.sender.try_send(item).is_err() {
            let dropped = self.dropped.fetch_add(1, Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "messages to NATS were dropped: the connection is too slow for them");
            }
        }
    }
}

async fn send_all(line: Arc<Line>, mut items: mpsc::Receiver<Item>) {
    while let Some(item) = items.recv().await {
        let client = line.current();
        match item {
            Item::Publish { subject, reply, headers, payload, address } => {
                let shown = subject.clone();
                let sent = match reply {
                    Some(reply) => {
                        client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                    }
                    None if headers.is_empty() => client.publish(subject, payload).await,
                    None => client.publish_with_headers(subject, headers, payload).await,
                };
                let Err(error) = sent else { continue };
                tracing::warn!(subject = shown, %error, "a message was not sent");
                if let (PublishErrorKind::MaxPayloadExceeded, Some(address)) = (error.kind(), address) {
                    let reason =
                        "the request leaves no room for what one host tells another of it: make it smaller";
                    let (headers, payload) = service::encode(&answer::refused(Answer::BAD_REQUEST, reason));
                    let _ = client.publish_with_headers(address, headers::to_nats(&headers), payload).await;
                }
            }
            Item::Flush(done) => {
                let _ = client.flush().await;
                let _ = done.send(());
            }
        }
    }
}
