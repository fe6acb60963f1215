//! What observing costs: a backlog drained with metrics, traces and the index of stories, and without.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use tokio::net::TcpListener;

use crate::hosts;

const ROUNDS: usize = 12;

/// What is switched on.
const ROWS: [(&str, &[What]); 5] = [
    ("nothing", &[]),
    ("metrics", &[What::Metrics]),
    ("traces, a tenth", &[What::Traces("0.1")]),
    ("index", &[What::Index]),
    ("all of them", &[What::Metrics, What::Traces("0.1"), What::Index]),
];

/// The last row: traces of every event.
const EVERY: (&str, &[What]) = ("all, and every trace", &[What::Metrics, What::Traces("1"), What::Index]);

#[derive(Clone, Copy, PartialEq)]
enum What {
    Metrics,
    Traces(&'static str),
    Index,
}

pub async fn run(count: u64) {
    println!("\nobserved: {count} events of 256 bytes by key, one host, {ROUNDS} rounds in turn, medians");
    println!("{:<28} {:>10} {:>10} {:>16} {:>12}", "", "events/s", "x first", "host's CPU, us", "spans");
    let rows: Vec<_> = ROWS.into_iter().chain([EVERY]).collect();
    let mut figures = vec![Vec::new(); rows.len()];
    let receiver = Receiver::start().await;
    for round in 0..ROUNDS {
        // Each is the first in turn: what ran before leaves its traces on the machine.
        for n in (0..rows.len()).map(|n| (n + round) % rows.len()) {
            let before = receiver.bytes();
            let (rate, cost) = drain(count, rows[n].1, &receiver).await;
            figures[n].push((rate, cost, (receiver.bytes() - before) as f64));
        }
    }
    let mut first = None;
    for ((name, _), figures) in rows.iter().zip(figures) {
        let rate = crate::median(figures.iter().map(|figure| figure.0).collect());
        let cost = crate::median(figures.iter().map(|figure| figure.1).collect());
        let sent = crate::median(figures.iter().map(|figure| figure.2).collect()) / 1e6;
        let ratio = rate / *first.get_or_insert(rate);
        println!("{name:<28} {rate:>10.0} {ratio:>10.2} {cost:>16.1} {sent:>9.1} MB");
    }
    println!("host's CPU: microseconds of processor time an event; spans: what the receiver was sent");
}

async fn drain(count: u64, what: &[What], receiver: &Receiver) -> (f64, f64) {
    let mut arguments: Vec<String> = Vec::new();
    let mut variables = vec![("OTEL_METRIC_EXPORT_INTERVAL", "1000")];
    if what.contains(&What::Metrics) {
        arguments.extend(["--probes".to_owned(), "127.0.0.1:0".to_owned()]);
    }
    for each in what {
        if let What::Traces(ratio) = each {
            let sends = ["--otlp", &receiver.url, "--trace-ratio", ratio];
            arguments.extend(sends.map(str::to_owned));
        }
    }
    if !what.contains(&What::Index) {
        variables.push(("WAXWING_HOST_INDEX", "false"));
    }
    hosts::drain_by(count, 1, 1, &arguments, &variables).await
}

/// Takes what is sent, and counts it.
struct Receiver {
    url: String,
    bytes: Arc<AtomicU64>,
}

impl Receiver {
    async fn start() -> Receiver {
        let bytes = Arc::<AtomicU64>::default();
        let take = async |State(bytes): State<Arc<AtomicU64>>, body: Bytes| {
            bytes.fetch_add(body.len() as u64, Relaxed);
        };
        let router = Router::new().route("/v1/traces", post(take)).route("/v1/metrics", post(async || ()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router.with_state(bytes.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        // It is there for as long as the benchmark runs.
        tokio::time::timeout(Duration::from_secs(5), tokio::net::TcpStream::connect(&url[7..]))
            .await
            .unwrap()
            .unwrap();
        Receiver { url, bytes }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}
