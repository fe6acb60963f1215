//! How fast a backlog is drained: parse 256 bytes of JSON, emit one event, on file storage.

use std::time::Duration;

use waxwing_event::handler::Instance;

use crate::{native, ours, server::TestServer};

/// One contestant's rates, in events a second.
struct Row {
    name: &'static str,
    goal: &'static str,
    rates: Vec<f64>,
}

/// Rounds; each contestant runs once in each, on a server of its own.
const ROUNDS: usize = 3;

pub async fn run(count: u64, only: Option<&str>) {
    println!("\ndrain: {count} events of 256 bytes, file storage, {ROUNDS} rounds, medians");
    let mut rows = [
        Row { name: "native, as usual", goal: "", rates: Vec::new() },
        Row { name: "native, tuned by hand", goal: "", rates: Vec::new() },
        Row { name: "waxwing, fresh instance", goal: "0.8", rates: Vec::new() },
        Row { name: "waxwing, reused instance", goal: "1.0", rates: Vec::new() },
        Row { name: "waxwing, fresh, with state", goal: "0.5", rates: Vec::new() },
    ];
    let rounds = if only.is_some() { 1 } else { ROUNDS };
    for _ in 0..rounds {
        for (i, row) in rows.iter_mut().enumerate() {
            if only.is_some_and(|word| !row.name.contains(word)) {
                continue;
            }
            let elapsed = contest(i, count).await;
            row.rates.push(count as f64 / elapsed.as_secs_f64());
        }
    }
    print(&rows);
}

async fn contest(which: usize, count: u64) -> Duration {
    let server = TestServer::start().await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    if which < 2 {
        native::prepare(&client, count).await;
    }
    match which {
        0 => native::usual(&client, count).await,
        1 => native::tuned(&client, count).await,
        2 => ours::drain(&server.address(), &client, "fresh", Instance::Fresh, false, count).await,
        3 => ours::drain(&server.address(), &client, "reuse", Instance::Reuse, false, count).await,
        _ => ours::drain(&server.address(), &client, "state", Instance::Fresh, true, count).await,
    }
}

fn print(rows: &[Row]) {
    let rates: Vec<f64> = rows.iter().map(|row| crate::median(row.rates.clone())).collect();
    println!("{:<28} {:>10} {:>10} {:>10} {:>6}", "", "events/s", "x usual", "x tuned", "goal");
    for (row, rate) in rows.iter().zip(&rates) {
        println!(
            "{:<28} {rate:>10.0} {:>10.2} {:>10.2} {:>6}",
            row.name,
            rate / rates[0],
            rate / rates[1],
            row.goal
        );
    }
}
