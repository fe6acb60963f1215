//! A short-lived ordered consumer: the server's side of a reader.
//!
//! It acknowledges nothing and lives in the server's memory. Whatever goes wrong with it (a gap, a silence,
//! a lost connection), it is given up, and the reader makes another from its place.

use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use waxwing_engine::port::log::Part;
use waxwing_event::Position;

use super::{
    api::{Api, ApiError},
    config::nanos,
    connect::{Link, LinkState},
    delivery::Delivery,
};

/// Entries asked for at once; asked for again when half of them have come.
const BATCH: usize = 1000;
/// Bytes asked for at once: a bound on what waits here.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// How often the server is heard of while there is nothing to read.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long the server remembers a request for entries.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long nothing may be delivered until it is to be looked whether there was nothing. Half of a server may still be
/// heard of where its other half has stopped: the leader of a consumer that has fallen behind its stream.
const QUIET: Duration = Duration::from_secs(10);
/// How long the server keeps a consumer that nobody asks.
const INACTIVE: Duration = Duration::from_secs(30);

/// A message, and what its reply subject says of it.
pub(super) type Delivered = (Message, Delivery);

/// What a consumer is made for.
pub(super) struct Wish<'a> {
    pub(super) stream: &'a str,
    pub(super) from: Position,
    pub(super) filters: Vec<&'a str>,
    pub(super) part: Part,
}

/// Why a consumer is given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("the connection was lost")]
    Connection,
    #[error("nothing was heard of the server")]
    Silence,
    #[error("deliveries were lost on the way")]
    Gap,
    #[error("the server ended it: {0}")]
    Ended(String),
}

/// A consumer, and what has come of it.
pub(super) struct Consumer {
    link: Link,
    state: watch::Receiver<LinkState>,
    losses: u64,
    inbox: String,
    deliveries: Subscriber,
    name: String,
    stream: String,
    /// Entries asked for that have not come.
    pending: usize,
    batch_bytes: usize,
    last_sequence: u64,
    last_heard: Instant,
    /// When something was delivered, or it was asked whether there is nothing.
    last_fruitful: Instant,
    /// True where something was found that had not been delivered, and still is not.
    is_overdue: bool,
}

impl Consumer {
    pub(super) async fn create(api: &Api, link: Link, wish: Wish<'_>) -> Result<Consumer, ApiError> {
        let mut state = link.watch();
        let losses = state.borrow_and_update().losses;
        let inbox = link.client().new_inbox();
        let deliveries = link.client().subscribe(inbox.clone()).await;
        let deliveries = deliveries.map_err(|error| ApiError::Away(error.to_string()))?;
        let name = format!("wx-{}", inbox.rsplit('.').next().unwrap_or(&inbox));
        let stream = wish.stream.to_owned();
        let subject = format!("CONSUMER.CREATE.{stream}.{name}");
        api.call::<serde_json::Value>(&subject, &request(&wish, &name)).await?;
        let batch_bytes = BATCH_BYTES.max(link.client().max_payload().saturating_mul(2));
        Ok(Consumer {
            link,
            state,
            losses,
            inbox,
            deliveries,
            name,
            stream,
            pending: 0,
            batch_bytes,
            last_sequence: 0,
            last_heard: Instant::now(),
            last_fruitful: Instant::now(),
            is_overdue: false,
        })
    }

    /// Waits for the next entry; none where there was none for a while. Dropped while it waits, it loses none.
    pub(super) async fn next(&mut self) -> Result<Option<Delivered>, Lost> {
        loop {
            if let Some(delivered) = self.here()? {
                return Ok(Some(delivered));
            }
            let silence = sleep_until(self.last_heard + 2 * HEARTBEAT);
            let quiet = sleep_until(self.last_fruitful + if self.is_overdue { HEARTBEAT } else { QUIET });
            tokio::select! {
                biased;
                message = self.deliveries.next() => if let Some(delivered) = self.take(message)? {
                    return Ok(Some(delivered));
                },
                change = self.state.changed() => {
                    if change.is_err() || self.state.borrow_and_update().losses != self.losses {
                        return Err(Lost::Connection);
                    }
                }
                () = silence => return Err(Lost::Silence),
                () = quiet => {
                    self.last_fruitful = Instant::now();
                    return Ok(None);
                }
            }
        }
    }

    /// Whether it is worth waiting for more, where nothing came for a while: what was found in the stream may be on its way,
    /// but not for long.
    pub(super) fn may_go_on(&mut self, is_behind: bool) -> bool {
        let was_behind = std::mem::replace(&mut self.is_overdue, is_behind);
        !(was_behind && is_behind)
    }

    /// The next entry, if it is here.
    pub(super) fn here(&mut self) -> Result<Option<Delivered>, Lost> {
        loop {
            self.pull();
            let Some(message) = self.deliveries.next().now_or_never() else { return Ok(None) };
            if let Some(delivered) = self.take(message)? {
                return Ok(Some(delivered));
            }
        }
    }

    /// None: the message was no entry.
    fn take(&mut self, message: Option<Message>) -> Result<Option<Delivered>, Lost> {
        let message = message.ok_or(Lost::Connection)?;
        self.last_heard = Instant::now();
        let Some(delivery) = message.reply.as_deref().and_then(Delivery::parse) else {
            return self.told(&message).map(|()| None);
        };
        if delivery.consumer_sequence != self.last_sequence + 1 {
            return Err(Lost::Gap);
        }
        self.last_sequence = delivery.consumer_sequence;
        self.last_fruitful = self.last_heard;
        self.is_overdue = false;
        self.pending = self.pending.saturating_sub(1);
        Ok(Some((message, delivery)))
    }

    /// Asks for more where half has come. Where the client has no room for the request, the next call asks.
    fn pull(&mut self) {
        if self.pending > BATCH / 2 {
            return;
        }
        let request = json!({
            "batch": BATCH,
            "max_bytes": self.batch_bytes,
            "expires": nanos(EXPIRES),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
        let client = self.link.client();
        let sent = client.publish_with_reply(subject, self.inbox.clone(), request.to_string().into());
        if let Some(Ok(())) = sent.now_or_never() {
            self.pending += BATCH;
        }
    }

    /// The server says something of itself: a heartbeat, the end of a request, the end of the consumer.
    fn told(&mut self, message: &Message) -> Result<(), Lost> {
        let number = |name| message.headers.as_ref()?.get(name)?.as_str().parse::<u64>().ok();
        if message.status == Some(StatusCode::IDLE_HEARTBEAT) {
            // It tells the last that was delivered: what has not come by now was lost, also where it was the last.
            let is_lost = number("Nats-Last-Consumer").is_some_and(|last| last > self.last_sequence);
            return if is_lost { Err(Lost::Gap) } else { Ok(()) };
        }
        // A request that has ended says how much of it was left.
        match number("Nats-Pending-Messages").and_then(|left| usize::try_from(left).ok()) {
            // One that ends with nothing given would end so again: the next entry is larger than allowed.
            Some(left) if left < BATCH || message.status == Some(StatusCode::TIMEOUT) => {
                self.pending = self.pending.saturating_sub(left);
                Ok(())
            }
            _ => {
                let status = message.status.map(|status| status.to_string()).unwrap_or_default();
                let description = message.description.as_deref().unwrap_or_default();
                Err(Lost::Ended(format!("{status} {description}")))
            }
        }
    }
}

impl Drop for Consumer {
    /// Tells the server, so that it need not wait; where that fails it finds out by itself.
    fn drop(&mut self) {
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, self.name);
        let _ = self.link.client().publish(subject, Bytes::new()).now_or_never();
    }
}

fn request(wish: &Wish<'_>, name: &str) -> serde_json::Value {
    let mut config = json!({
        "name": name,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": wish.from.0.max(1),
        "ack_policy": "none",
        "replay_policy": "instant",
        "headers_only": wish.part == Part::Headers,
        "inactive_threshold": nanos(INACTIVE),
        "mem_storage": true,
        "num_replicas": 1,
    });
    if let (Some(config), true) = (config.as_object_mut(), wish.filters != [">"]) {
        config.insert("filter_subjects".to_owned(), json!(wish.filters));
    }
    json!({ "stream_name": wish.stream, "config": config, "action": "create" })
}
