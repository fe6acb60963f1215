//! A steady load of events, and what stands in the log of it afterwards.

use std::{collections::BTreeMap, time::Duration};

use async_nats::Client;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::MissedTickBehavior,
};
use waxwing_engine::{
    entry::Mark,
    port::{
        Log,
        log::{Entry, Part},
    },
};
use waxwing_event::Position;

use crate::items;

/// Events a second.
pub const RATE: u64 = 2_000;

/// Published at a time.
const CHUNK: u64 = 10;

/// Publishes `count` events at the rate, and waits until the last one is stored.
pub async fn publish(client: &Client, to: &'static str, count: u64) {
    publish_while(client, to, |id| id < count).await;
}

/// Publishes events at the rate until this comes; gives how many.
pub async fn publish_until(client: &Client, to: &'static str, mut stop: oneshot::Receiver<()>) -> u64 {
    publish_while(client, to, |_| matches!(stop.try_recv(), Err(TryRecvError::Empty))).await
}

async fn publish_while(client: &Client, to: &'static str, mut goes_on: impl FnMut(u64) -> bool) -> u64 {
    let jetstream = async_nats::jetstream::new(client.clone());
    let mut tick = tokio::time::interval(Duration::from_micros(CHUNK * 1_000_000 / RATE));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut id, mut last) = (0, None);
    while goes_on(id) {
        if id % CHUNK == 0 {
            tick.tick().await;
        }
        last = Some(jetstream.publish(to, items::item(id)).await.unwrap());
        id += 1;
    }
    if let Some(last) = last {
        last.await.unwrap();
    }
    id
}

/// An output and the input that it comes from.
pub struct Answered {
    pub mark: Mark,
    /// When the input was stored.
    pub begun: Timestamp,
    /// When the output was.
    pub at: Timestamp,
}

impl Answered {
    pub fn took(&self) -> SignedDuration {
        self.at.duration_since(self.begun)
    }
}

/// Each of so many outputs on this subject, as the log tells of them, in its order; waits until they are there.
pub async fn answered(log: &dyn Log, subject: &str, count: u64) -> Vec<Answered> {
    let mut reader = log.read(Position(1), &[], Part::Headers).await.unwrap();
    let (mut stored, mut answered) = (BTreeMap::new(), Vec::new());
    while (answered.len() as u64) < count {
        for Entry { position, subject: found, time, headers, .. } in reader.next(1_000).await.unwrap() {
            stored.insert(position, time);
            if found.as_str() == subject {
                let mark = Mark::of(&headers).unwrap();
                let begun = stored[&mark.input];
                answered.push(Answered { mark, begun, at: time });
            }
        }
    }
    answered
}

/// Of some times the one below which this part of them lies, in milliseconds.
pub fn quantile(times: impl IntoIterator<Item = SignedDuration>, part: f64) -> f64 {
    let mut times: Vec<SignedDuration> = times.into_iter().collect();
    times.sort_unstable();
    let index = (times.len().saturating_sub(1) as f64 * part) as usize;
    times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
