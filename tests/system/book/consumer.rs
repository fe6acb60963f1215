//! The consumer of the page "From a hand-written consumer": it works, and counts twice when it is stopped at the wrong moment.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind, Message, consumer::pull, kv};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{app::PATIENCE, server::TestServer};

type Result<T> = std::result::Result<T, async_nats::Error>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceUpdated {
    product_id: String,
    new_price: f64,
}

async fn consume(jetstream: jetstream::Context) -> Result<()> {
    let prices = jetstream.get_stream("PRICES").await?;
    let counts = jetstream.get_key_value("counts").await?;
    let options = pull::Config {
        durable_name: Some("counter".to_owned()),
        ack_wait: Duration::from_secs(30),
        max_deliver: 10,
        ..Default::default()
    };
    let consumer = prices.get_or_create_consumer("counter", options).await?;
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        match count(&jetstream, &counts, &message).await {
            Ok(()) => message.ack().await?,
            Err(error) => {
                eprintln!("not counted: {error}");
                message.ack_with(AckKind::Nak(Some(Duration::from_secs(1)))).await?;
            }
        }
    }
    Ok(())
}

async fn count(jetstream: &jetstream::Context, counts: &kv::Store, message: &Message) -> Result<()> {
    let PriceUpdated { product_id, new_price } = serde_json::from_slice(&message.payload)?;
    let (before, revision) = match counts.entry(&product_id).await? {
        Some(entry) => (serde_json::from_slice::<u64>(&entry.value)?, entry.revision),
        None => (0, 0),
    };
    let changes = before + 1;
    counts.update(&product_id, changes.to_string().into(), revision).await?;
    let told = json!({ "productId": product_id, "price": new_price, "changes": changes });
    jetstream.publish("changes.counted", told.to_string().into()).await?.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_by_hand_counts_twice_what_it_has_not_acknowledged() {
    let server = TestServer::start().await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    let jetstream = jetstream::new(client);
    for (name, subject) in [("PRICES", "prices.>"), ("CHANGES", "changes.>")] {
        let config = jetstream::stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            ..Default::default()
        };
        jetstream.create_stream(config).await.unwrap();
    }
    let bucket = kv::Config { bucket: "counts".to_owned(), ..Default::default() };
    let counts = jetstream.create_key_value(bucket).await.unwrap();
    let update = json!({ "productId": "tea", "newPrice": 3.2 }).to_string();
    jetstream.publish("prices.updated", update.clone().into()).await.unwrap().await.unwrap();

    // Killed between its last publish and the acknowledgement: the server gives the message to the next one.
    let prices = jetstream.get_stream("PRICES").await.unwrap();
    let options = pull::Config { durable_name: Some("counter".to_owned()), ..Default::default() };
    let consumer: jetstream::consumer::Consumer<pull::Config> =
        prices.get_or_create_consumer("counter", options).await.unwrap();
    let message = consumer.messages().await.unwrap().next().await.unwrap().unwrap();
    count(&jetstream, &counts, &message).await.unwrap();
    message.ack_with(AckKind::Nak(None)).await.unwrap();
    prices.delete_consumer("counter").await.unwrap();

    let running = tokio::spawn(consume(jetstream.clone()));
    let told = jetstream.get_stream("CHANGES").await.unwrap();
    let seen = async {
        while told.get_last_raw_message_by_subject("changes.counted").await.unwrap().sequence < 2 {}
        told.get_last_raw_message_by_subject("changes.counted").await.unwrap()
    };
    let last = tokio::time::timeout(PATIENCE, seen).await.unwrap();
    let last: Value = serde_json::from_slice(&last.payload).unwrap();
    assert_eq!(last, json!({ "productId": "tea", "price": 3.2, "changes": 2 }));
    running.abort();
}
