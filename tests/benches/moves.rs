//! What a partition's move costs: how long it brings nothing out while a host comes, goes, or dies under load.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::time::timeout;
use waxwing_engine::{
    entry::{Layout, Lease, Partition},
    port::{Log, log::Part},
};

use crate::{
    hosts,
    load::{self, Answered, RATE},
    ours, processes,
    server::TestServer,
};

const PARTITIONS: u32 = 16;

/// How long the load goes on undisturbed before each change and after the last one.
const REST: Duration = Duration::from_secs(4);

pub async fn run() {
    println!("\nmoves: {PARTITIONS} partitions, {RATE} events/s, two hosts and a third, lease 1 s");
    let server = TestServer::start().await;
    let app = TempDir::new().unwrap();
    hosts::write_app(app.path(), PARTITIONS);
    let (going, _) = processes::start(app.path(), &server).await;
    let (mut dying, _) = processes::start(app.path(), &server).await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    let log = ours::log(&server.address(), "app").await;
    let leases = tokio::spawn(follow(log.clone()));
    let count = RATE * REST.as_secs() * 4;
    let changes = async {
        tokio::time::sleep(REST).await;
        let begun = Timestamp::now();
        let coming = processes::start(app.path(), &server).await.0;
        tokio::time::sleep(REST).await;
        let stopped = Timestamp::now();
        processes::signal(&going, "TERM").await;
        tokio::time::sleep(REST).await;
        let killed = Timestamp::now();
        dying.kill().await.unwrap();
        (coming, [("a host comes", begun), ("a host is stopped", stopped), ("a host is killed", killed)])
    };
    let ((), (_coming, changes)) = tokio::join!(load::publish(&client, "app.in", count), changes);
    let answered = load::answered(log.as_ref(), "app.out", count).await;
    let moves = leases.await.unwrap();
    report(&answered, &moves, &changes);
}

/// When a partition got an owner.
type Move = (Partition, Timestamp);

/// Leases are rolled up: they are followed while they move, until they rest.
async fn follow(log: std::sync::Arc<dyn Log>) -> Vec<Move> {
    let layout = Layout::new("app".parse().unwrap());
    let first = log.bounds().await.unwrap().last.next();
    let mut reader = log.read(first, &[layout.leases()], Part::Whole).await.unwrap();
    let mut moves = Vec::new();
    while let Ok(read) = timeout(REST * 3, reader.next(100)).await {
        for entry in read.unwrap() {
            let partition = entry.subject.tokens().last().unwrap().parse().unwrap();
            if Lease::read(&entry).unwrap().host.is_some() {
                moves.push((Partition(partition), entry.time));
            }
        }
    }
    moves
}

fn report(answered: &[Answered], moves: &[Move], changes: &[(&str, Timestamp)]) {
    let mut outputs: BTreeMap<Partition, Vec<Timestamp>> = BTreeMap::new();
    for answered in answered {
        outputs.entry(answered.mark.share.partition).or_default().push(answered.at);
    }
    println!("{:<28} {:>10} {:>14} {:>14}", "", "moved", "gap p50, ms", "longest, ms");
    let quiet = changes.first().map_or(Timestamp::MAX, |(_, at)| *at);
    let before = outputs.values().flat_map(|times| times.windows(2)).filter(|pair| pair[1] < quiet);
    row("undisturbed", "-".to_owned(), before.map(|pair| pair[1].duration_since(pair[0])).collect());
    for (index, (what, begun)) in changes.iter().enumerate() {
        let end = changes.get(index + 1).map_or(Timestamp::MAX, |(_, at)| *at);
        let moved = moves.iter().filter(|(_, at)| at >= begun && *at < end);
        let gaps: Vec<_> = moved.filter_map(|(partition, at)| gap(outputs.get(partition)?, *at)).collect();
        row(what, gaps.len().to_string(), gaps);
    }
    println!("gap: from a partition's last output before it has another owner to the first one after");
}

fn gap(outputs: &[Timestamp], moved: Timestamp) -> Option<SignedDuration> {
    let after = outputs.partition_point(|at| *at <= moved);
    Some(outputs.get(after)?.duration_since(*outputs.get(after.checked_sub(1)?)?))
}

fn row(name: &str, moved: String, gaps: Vec<SignedDuration>) {
    let (half, longest) = (load::quantile(gaps.iter().copied(), 0.5), load::quantile(gaps, 1.0));
    println!("{name:<28} {moved:>10} {half:>14.1} {longest:>14.1}");
}
