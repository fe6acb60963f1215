//! What deployments cost those who wait: three hosts at 2,000 events a second, and twenty deployments.

use std::{fs, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use waxwing_engine::{
    entry::{Layout, Partition, deploy::Swap},
    port::{Log, log::Part},
};
use waxwing_event::Position;

use crate::{
    guest, hosts,
    load::{self, Answered, RATE},
    ours, processes,
    server::TestServer,
    variant,
};

const ROUNDS: usize = 9;
const HOSTS: usize = 3;
const DEPLOYMENTS: u32 = 20;

/// How long the load goes on before the first deployment.
const REST: Duration = Duration::from_secs(5);

/// How long after a deployment the next one begins.
const PAUSE: Duration = Duration::from_millis(300);

/// What comes so soon after a swap is counted as during it.
const DURING: SignedDuration = SignedDuration::from_millis(250);

pub async fn run() {
    println!(
        "\nswaps: {HOSTS} hosts, {RATE} events/s, {DEPLOYMENTS} deployments, {ROUNDS} rounds; input stored to output stored, ms"
    );
    println!("{:<28} {:>10} {:>10} {:>10}", "p99", "before", "swaps", "deploys");
    let mut ratios = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        let [before, swaps, deploys] = once().await;
        for (ratios, during) in ratios.iter_mut().zip([swaps, deploys]) {
            ratios.push(during / before);
        }
        println!("{:<28} {before:>10.2} {swaps:>10.2} {deploys:>10.2}", format!("round {round}"));
    }
    println!(
        "swaps: inputs of the {} ms after one; deploys: from a command's begin until then",
        DURING.as_millis()
    );
    let [swaps, deploys] = ratios.map(crate::median);
    println!("x before: swaps {swaps:.2} (goal 2), deploys {deploys:.2}");
}

async fn once() -> [f64; 3] {
    let server = TestServer::start().await;
    let (app, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for folder in [&app, &elsewhere] {
        hosts::write_app(folder.path(), 1);
    }
    let mut running = Vec::new();
    for _ in 0..HOSTS {
        running.push(processes::start(app.path(), &server).await.0);
    }
    let client = async_nats::connect(server.process.url()).await.unwrap();
    let log = ours::log(&server.address(), "app").await;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let publishing = load::publish_until(&client, "app.in", stopped);
    let deploying = async {
        tokio::time::sleep(REST).await;
        let mut begun = Vec::new();
        for number in 0..DEPLOYMENTS {
            let module = another(elsewhere.path(), number);
            begun.push(Timestamp::now());
            deploy(elsewhere.path(), &server, &module).await;
            // The next command's own work is none of what this swap costs.
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.send(()).unwrap();
        begun
    };
    let (count, begun) = tokio::join!(publishing, deploying);
    let answered = load::answered(log.as_ref(), "app.out", count).await;
    let swaps = swaps(log.as_ref()).await;
    assert_eq!(swaps.len(), begun.len());
    latencies(&answered, &begun, &swaps)
}

/// When a version began to run, each time.
async fn swaps(log: &dyn Log) -> Vec<Timestamp> {
    let subject = Layout::new("app".parse().unwrap()).swaps(&"echo".parse().unwrap(), Partition(0));
    let mut reader = log.read(Position(1), &[(&subject).into()], Part::Whole).await.unwrap();
    let mut swaps = Vec::new();
    while swaps.len() < DEPLOYMENTS as usize {
        let read = reader.next(100).await.unwrap();
        swaps.extend(read.iter().map(|entry| Swap::read(entry).unwrap().at));
    }
    swaps
}

/// The 99th percentiles before the first deployment, just after swaps, and while deployments were under way.
fn latencies(answered: &[Answered], begun: &[Timestamp], swaps: &[Timestamp]) -> [f64; 3] {
    let p99 = |wanted: &dyn Fn(Timestamp) -> bool| {
        let those = answered.iter().filter(|answered| wanted(answered.begun));
        load::quantile(those.map(Answered::took), 0.99)
    };
    let first = begun[0];
    // The first second is the hosts' own beginning.
    let settled = answered[0].begun + Duration::from_secs(1);
    [
        p99(&|at| at >= settled && at < first),
        p99(&|at| swaps.iter().any(|swap| at >= *swap && at.duration_since(*swap) < DURING)),
        p99(&|at| {
            begun.iter().zip(swaps).any(|(begun, swap)| at >= *begun && at.duration_since(*swap) < DURING)
        }),
    ]
}

/// Writes the same module with another digest.
fn another(folder: &Path, number: u32) -> String {
    let bytes = variant::of(guest::module().to_vec(), &format!("variant {number}"));
    let file = format!("variant-{number}.wasm");
    fs::write(folder.join(&file), bytes).unwrap();
    file
}

/// Deploys as from a machine of its own: with less of the processor, and hosts find nothing compiled.
async fn deploy(folder: &Path, server: &TestServer, module: &str) {
    let command = processes::command(folder, server, &["deploy", "--wait", "2m", &format!("echo={module}")]);
    let mut niced = tokio::process::Command::new("nice");
    niced.args(["-n", "19"]).arg(command.as_std().get_program()).args(command.as_std().get_args());
    niced.current_dir(folder).kill_on_drop(true);
    processes::succeeded(niced).await;
}
