//! How fast several hosts drain a backlog of one handler together, on one machine: a handler divided into partitions,
//! by one host process, two and four.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use async_nats::jetstream;
use futures::TryStreamExt;
use tempfile::TempDir;

use crate::{guest, items, processes, processor, server::TestServer};

const ROUNDS: usize = 3;

/// Partitions and hosts.
const ROWS: [(u32, usize); 6] = [(1, 1), (2, 1), (8, 1), (8, 2), (8, 4), (32, 4)];

pub async fn run(count: u64) {
    println!(
        "\nhosts: {count} events of 256 bytes by key, file storage, {ROUNDS} rounds, medians; from `waxwing resume` on"
    );
    println!("{:<28} {:>10} {:>10} {:>16}", "", "events/s", "x first", "hosts' CPU, us");
    let mut first = None;
    for (partitions, hosts) in ROWS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(drain(count, partitions, hosts).await);
        }
        let (rates, costs): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
        let (rate, cost) = (crate::median(rates), crate::median(costs));
        let ratio = rate / *first.get_or_insert(rate);
        let name = format!("{hosts} host(s), {partitions} partition(s)");
        println!("{name:<28} {rate:>10.0} {ratio:>10.2} {cost:>16.1}");
    }
    println!("hosts' CPU: microseconds of processor time an event, all hosts together");
}

/// Writes an app of one handler that answers each event.
pub fn write_app(folder: &Path, partitions: u32) {
    std::fs::write(folder.join("echo.wasm"), guest::module()).unwrap();
    let manifest = format!(
        "[app]\nname = \"app\"\nevents = [\"app.>\"]\n[host]\nlease = \"1s\"\n\
         [handlers.echo]\nmodule = \"echo.wasm\"\non = [\"app.in\"]\nkey = \"data.name\"\n\
         partitions = {partitions}\n\
         [handlers.echo.grants]\nemit = [\"app.out\"]\nsettings = {{ to = \"app.out\" }}\n"
    );
    std::fs::write(folder.join("waxwing.toml"), manifest).unwrap();
}

async fn drain(count: u64, partitions: u32, hosts: usize) -> (f64, f64) {
    drain_by(count, partitions, hosts, &[], &[]).await
}

/// Events a second, and microseconds of the hosts' processors an event; hosts with these arguments and variables.
pub async fn drain_by(
    count: u64,
    partitions: u32,
    hosts: usize,
    arguments: &[String],
    variables: &[(&str, &str)],
) -> (f64, f64) {
    let server = TestServer::start().await;
    let app = TempDir::new().unwrap();
    write_app(app.path(), partitions);
    let mut running = Vec::new();
    for _ in 0..hosts {
        running.push(processes::start_with(app.path(), &server, arguments, variables).await.0);
    }
    processes::run(app.path(), &server, &["pause", "echo"]).await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    items::publish(&client, "app.in", count).await;
    let cpu = || running.iter().map(|host| processor::used(host.id().unwrap())).sum::<Duration>();
    let used = cpu();
    let started = Instant::now();
    processes::run(app.path(), &server, &["resume", "echo"]).await;
    outputs(&client, count).await;
    let elapsed = started.elapsed();
    let used = cpu() - used;
    (count as f64 / elapsed.as_secs_f64(), used.as_secs_f64() * 1e6 / count as f64)
}

/// Waits until so many outputs stand in the log.
async fn outputs(client: &async_nats::Client, count: u64) {
    let stream = jetstream::new(client.clone()).get_stream("wx-app").await.unwrap();
    let mut every = tokio::time::interval(Duration::from_millis(20));
    loop {
        every.tick().await;
        let found = stream.info_with_subjects("app.out").await.unwrap();
        let found: Vec<(String, usize)> = found.try_collect().await.unwrap();
        if found.iter().map(|(_, many)| *many as u64).sum::<u64>() >= count {
            return;
        }
    }
}
