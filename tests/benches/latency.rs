//! Latency at 1,000 events a second: from the publish of an input to the sight of its output.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Client;
use futures::StreamExt;
use tokio::{sync::Mutex, time::MissedTickBehavior};
use waxwing_event::handler::Instance;

use crate::{
    items::{self, Item},
    native, ours,
    server::TestServer,
};

/// Events a second.
const RATE: u64 = 1000;

pub async fn run(count: u64) {
    println!("\nlatency: {RATE} events/s, {count} events, publish to output seen, ms");
    println!("{:<28} {:>8} {:>8} {:>8}", "", "p50", "p99", "max");
    let usual = print("native, as usual", of_native(count).await, None);
    print("waxwing, fresh instance", of_ours(count, "fresh", Instance::Fresh).await, Some(usual));
    print("waxwing, reused instance", of_ours(count, "reuse", Instance::Reuse).await, Some(usual));
    println!("goal: p50 at most 1.5 x, p99 at most 2 x native");
}

async fn of_native(count: u64) -> Vec<Duration> {
    let server = TestServer::start().await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    native::prepare(&client, 0).await;
    let consuming = tokio::spawn({
        let client = async_nats::connect(server.process.url()).await.unwrap();
        async move { native::usual(&client, count).await }
    });
    let latencies = measure(&client, "native.in", "native.out", count).await;
    consuming.await.unwrap();
    latencies
}

async fn of_ours(count: u64, name: &'static str, instance: Instance) -> Vec<Duration> {
    let server = TestServer::start().await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    let log = ours::log(&server.address(), name).await;
    let host = ours::start(log, name, instance, false, count).await;
    let latencies = measure(&client, format!("{name}.in").leak(), format!("{name}.out").leak(), count).await;
    host.stop().await;
    latencies
}

/// Publishes at the rate and waits for each output.
async fn measure(client: &Client, to: &'static str, from: &'static str, count: u64) -> Vec<Duration> {
    let mut outputs = client.subscribe(from).await.unwrap();
    client.flush().await.unwrap();
    let sent = Arc::new(Mutex::new(vec![None; usize::try_from(count).unwrap()]));
    let publisher = tokio::spawn({
        let (client, sent) = (client.clone(), sent.clone());
        async move {
            let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for id in 0..count {
                tick.tick().await;
                sent.lock().await[usize::try_from(id).unwrap()] = Some(Instant::now());
                client.publish(to, items::item(id)).await.unwrap();
                client.flush().await.unwrap();
            }
        }
    });
    let mut latencies = Vec::new();
    while (latencies.len() as u64) < count {
        let output = outputs.next().await.unwrap();
        let now = Instant::now();
        let item: Item = serde_json::from_slice(&output.payload).unwrap();
        let at = sent.lock().await[usize::try_from(item.id).unwrap()].unwrap();
        latencies.push(now - at);
    }
    publisher.await.unwrap();
    latencies
}

/// Prints one row; gives its p50 and p99 in milliseconds.
fn print(name: &str, mut latencies: Vec<Duration>, base: Option<(f64, f64)>) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    let ratios =
        base.map_or(String::new(), |(b50, b99)| format!("  p50 {:.2} x, p99 {:.2} x", p50 / b50, p99 / b99));
    println!("{name:<28} {p50:>8.2} {p99:>8.2} {max:>8.2}{ratios}");
    (p50, p99)
}
