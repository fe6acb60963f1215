//! The events of the benches: 256 bytes of JSON each.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

/// What the guest and the native consumers parse and emit.
#[derive(Serialize, Deserialize)]
pub struct Item {
    pub id: u64,
    pub name: String,
    pub pad: String,
}

/// How many different names there are: keys, where a key is used.
pub const NAMES: u64 = 10_000;

/// The event `id`, 256 bytes long.
pub fn item(id: u64) -> Bytes {
    let mut item = Item { id, name: format!("item-{:06}", id % NAMES), pad: String::new() };
    let bare = serde_json::to_vec(&item).unwrap().len();
    item.pad = "x".repeat(256 - bare);
    serde_json::to_vec(&item).unwrap().into()
}

/// What a consumer does with an event.
pub fn handle(data: &[u8]) -> Bytes {
    let item: Item = serde_json::from_slice(data).unwrap();
    serde_json::to_vec(&item).unwrap().into()
}

/// Publishes `count` events to `subject`, many at a time.
pub async fn publish(client: &async_nats::Client, subject: &'static str, count: u64) {
    let jetstream = async_nats::jetstream::new(client.clone());
    stream::iter(0..count)
        .map(|id| {
            let jetstream = jetstream.clone();
            async move { jetstream.publish(subject, item(id)).await.unwrap().await.unwrap() }
        })
        .buffered(1000)
        .for_each(|_| std::future::ready(()))
        .await;
}
