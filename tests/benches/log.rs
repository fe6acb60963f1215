//! What commits cost the log alone, without sandbox or engine: entries of 256 bytes, 1,024 under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{Notify, Semaphore};
use waxwing_engine::port::{
    Log,
    log::{Expect, NewEntry, commit},
};
use waxwing_event::{Headers, Position, Subject};

use crate::{items, ours, server::TestServer};

/// What of the engine's expectations the entries carry.
#[derive(Clone, Copy)]
enum Guard {
    Nothing,
    FenceOnFirst,
    FenceOnAll,
    /// A state key that is written for the first time.
    NewState,
    /// One of 10,000 state keys, each replacing what is there.
    State,
    /// The same, but leaving what is there.
    StateKept,
}

pub async fn run(count: u64) {
    println!("\nlog: {count} entries of 256 bytes, file storage");
    println!("{:<44} {:>10}", "", "entries/s");
    for (name, size, guard) in [
        ("single", 1, Guard::Nothing),
        ("single, fenced", 1, Guard::FenceOnAll),
        ("batches of 900", 900, Guard::Nothing),
        ("batches of 900, one fence", 900, Guard::FenceOnFirst),
        ("batches of 900, a fence on each", 900, Guard::FenceOnAll),
        ("batches of 900, new state keys", 900, Guard::NewState),
        ("batches of 900, state keys again", 900, Guard::State),
        ("batches of 900, state keys without rollup", 900, Guard::StateKept),
    ] {
        let server = TestServer::start().await;
        let log = ours::log(&server.address(), "log").await;
        println!("{name:<44} {:>10.0}", rate(&log, count, size, guard).await);
    }
}

async fn rate(log: &Arc<dyn Log>, count: u64, size: u64, guard: Guard) -> f64 {
    let lease: Subject = "wx.log.lease.h.0".parse().unwrap();
    let fence = commit(log.as_ref(), vec![NewEntry::new(lease.clone(), "{}")]).await.unwrap().last;
    let under_way = Arc::new(Semaphore::new(if size == 1 {
        1024
    } else {
        std::env::var("DEPTH").map_or(1, |d| d.parse().unwrap())
    }));
    let (done, all) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let commits = count / size;
    let started = Instant::now();
    for number in 0..commits {
        let permit = under_way.clone().acquire_owned().await.unwrap();
        let entries = (0..size).map(|i| entry(number * size + i, i == 0, guard, &lease, fence)).collect();
        let (done, all) = (done.clone(), all.clone());
        log.commit(
            entries,
            Box::new(move |end| {
                end.unwrap();
                drop(permit);
                if done.fetch_add(1, Ordering::Relaxed) + 1 == commits {
                    all.notify_one();
                }
            }),
        );
    }
    all.notified().await;
    (commits * size) as f64 / started.elapsed().as_secs_f64()
}

fn entry(id: u64, first: bool, guard: Guard, lease: &Subject, fence: Position) -> NewEntry {
    let subject = match guard {
        Guard::NewState => format!("wx.log.state.h.item-{id}"),
        Guard::State | Guard::StateKept => format!("wx.log.state.h.item-{}", id % items::NAMES),
        _ => "log.out".to_owned(),
    };
    let mut entry = NewEntry::new(subject.parse().unwrap(), items::item(id));
    entry.headers = headers(id);
    let fenced = Expect { subject: Some(lease.clone()), last: fence };
    entry.rollup = matches!(guard, Guard::State | Guard::NewState);
    match guard {
        Guard::FenceOnFirst if first => entry.expect = Some(fenced),
        Guard::FenceOnAll | Guard::State | Guard::StateKept => entry.expect = Some(fenced),
        Guard::NewState => entry.expect = Some(Expect { subject: None, last: Position::NONE }),
        _ => {}
    }
    entry
}

/// About what an emitted event carries.
fn headers(id: u64) -> Headers {
    let text = format!("0191e2a4-0000-5000-8000-{id:012}");
    let mut headers = Headers::with_capacity(9);
    for name in ["ce-id", "ce-correlationid", "ce-causationid"] {
        headers.push(name, text.clone());
    }
    headers.push("ce-specversion", "1.0");
    headers.push("ce-source", "/log/h");
    headers.push("ce-type", "log.out");
    headers.push("ce-time", "2026-11-20T10:00:00Z");
    headers.push("ce-datacontenttype", "application/json");
    headers.push("wx-mark", format!("h 0 {id} 0 {id}"));
    headers
}
