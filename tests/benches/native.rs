//! Consumers as one writes them by hand, without Waxwing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{
    Client,
    jetstream::{
        self,
        consumer::{AckPolicy, PullConsumer, pull},
        stream,
    },
};
use futures::StreamExt;
use tokio::sync::Semaphore;

use crate::items;

/// Makes a stream on file storage and fills it.
pub async fn prepare(client: &Client, count: u64) {
    let config = stream::Config {
        name: "native".to_owned(),
        subjects: vec!["native.>".to_owned()],
        storage: stream::StorageType::File,
        ..stream::Config::default()
    };
    jetstream::new(client.clone()).create_stream(config).await.unwrap();
    items::publish(client, "native.in", count).await;
}

async fn consumer(client: &Client, name: &str) -> PullConsumer {
    let stream = jetstream::new(client.clone()).get_stream("native").await.unwrap();
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        filter_subject: "native.in".to_owned(),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 20_000,
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.unwrap()
}

/// As people write it: durable pull, a task a message, the publish awaited, then the ack.
pub async fn usual(client: &Client, count: u64) -> Duration {
    let started = Instant::now();
    let context = jetstream::new(client.clone());
    let consumer = consumer(client, "usual").await;
    let mut messages = consumer.stream().max_messages_per_batch(500).messages().await.unwrap();
    let permits = Arc::new(Semaphore::new(256));
    for _ in 0..count {
        let message = messages.next().await.unwrap().unwrap();
        let permit = permits.clone().acquire_owned().await.unwrap();
        let context = context.clone();
        tokio::spawn(async move {
            let data = items::handle(&message.payload);
            context.publish("native.out", data).await.unwrap().await.unwrap();
            message.ack().await.unwrap();
            drop(permit);
        });
    }
    let _all = permits.acquire_many(256).await.unwrap();
    client.flush().await.unwrap();
    started.elapsed()
}

/// Tuned by hand: 1,024 publishes in flight over one reply inbox, in one task; each message is acknowledged
/// when its publish is.
pub async fn tuned(client: &Client, count: u64) -> Duration {
    const IN_FLIGHT: usize = 1024;
    let started = Instant::now();
    let consumer = consumer(client, "tuned").await;
    let mut messages = consumer.stream().max_messages_per_batch(1000).messages().await.unwrap();
    let inbox = client.new_inbox();
    let mut acks = client.subscribe(format!("{inbox}.*")).await.unwrap();
    let replies: Vec<String> = (0..IN_FLIGHT).map(|slot| format!("{inbox}.{slot}")).collect();
    let mut free: Vec<usize> = (0..IN_FLIGHT).collect();
    let mut waiting: Vec<Option<async_nats::Subject>> = vec![None; IN_FLIGHT];
    let (mut taken, mut done) = (0, 0);
    while done < count {
        tokio::select! {
            message = messages.next(), if taken < count && !free.is_empty() => {
                let message = message.unwrap().unwrap();
                let slot = free.pop().unwrap();
                taken += 1;
                let data = items::handle(&message.payload);
                waiting[slot] = message.reply.clone();
                client.publish_with_reply("native.out", replies[slot].clone(), data).await.unwrap();
            }
            ack = acks.next() => {
                let ack = ack.unwrap();
                assert!(ack.payload.starts_with(b"{\"stream\""), "{:?}", ack.payload);
                let slot: usize = ack.subject.rsplit('.').next().unwrap().parse().unwrap();
                let message = waiting[slot].take().unwrap();
                client.publish(message, "+ACK".into()).await.unwrap();
                free.push(slot);
                done += 1;
            }
        }
    }
    client.flush().await.unwrap();
    started.elapsed()
}
