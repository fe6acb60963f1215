//! What the sandbox costs an event: parse 256 bytes of JSON, emit one event, against the same in native Rust.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateUnavailable, StateView},
};
use waxwing_event::{Event, Headers, Outcome, Position, Subject, decode, handler::Instance};
use waxwing_sandbox::{Options, Sandbox};

use crate::{guest, items};

struct NoState;

#[async_trait]
impl StateView for NoState {
    async fn get(&self, _: &str) -> Result<Option<Bytes>, StateUnavailable> {
        Ok(None)
    }

    async fn keys(&self, _: &str) -> Result<Vec<String>, StateUnavailable> {
        Ok(Vec::new())
    }
}

pub fn run(count: u64) {
    println!("\nsandbox: one worker, {count} events, in waves of 512, median of 5");
    let event = event("echo.in", &items::item(7));
    println!("{:<28} {:>10} {:>6}", "", "ns/event", "goal");
    println!("{:<28} {:>10.0}", "native", crate::median((0..5).map(|_| native(&event, count)).collect()));
    for (name, instance, goal) in [
        ("waxwing, fresh instance", Instance::Fresh, "12000"),
        ("waxwing, reused instance", Instance::Reuse, "4000"),
    ] {
        let sandbox = Sandbox::new(Options { workers: NonZeroUsize::MIN, ..Options::default() }).unwrap();
        let handler = sandbox.load(&guest::spec("echo", instance, false).unwrap(), guest::module()).unwrap();
        let once = || sandboxed(handler.as_ref(), &event, count);
        once();
        println!("{name:<28} {:>10.0} {goal:>6}", crate::median((0..5).map(|_| once()).collect()));
    }
}

/// An event of this subject, which is its type, too.
pub fn event(subject: &str, data: &Bytes) -> Arc<Event> {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "0191e2a4-0000-7000-8000-000000000000"),
        ("ce-source", "/bench"),
        ("ce-type", subject),
        ("ce-time", "2026-11-20T10:00:00Z"),
        ("ce-datacontenttype", "application/json"),
    ];
    let headers: Headers = headers.into_iter().collect();
    let subject: Subject = subject.parse().unwrap();
    Arc::new(decode::event(&subject, Position(1), &headers, data).unwrap())
}

fn native(event: &Event, count: u64) -> f64 {
    let started = Instant::now();
    for _ in 0..count {
        black_box(items::handle(black_box(&event.data)));
    }
    started.elapsed().as_nanos() as f64 / count as f64
}

/// Nanoseconds an event, by the clock of whoever waits for all of them.
pub fn sandboxed(handler: &dyn Invoke, event: &Arc<Event>, count: u64) -> f64 {
    const WAVE: u64 = 512;
    let (sender, ended) = mpsc::channel();
    let state: Arc<dyn StateView> = Arc::new(NoState);
    let started = Instant::now();
    for _ in 0..count / WAVE {
        let left = Arc::new(AtomicU64::new(WAVE));
        for _ in 0..WAVE {
            let (sender, left) = (sender.clone(), left.clone());
            let reporter = Box::new(move |report: Report| {
                assert!(matches!(report.outcome, Outcome::Done(_)), "{report:?}");
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    sender.send(()).unwrap();
                }
            });
            handler.invoke(Run { event: event.clone(), state: state.clone(), is_asked: false, reporter });
        }
        ended.recv().unwrap();
    }
    started.elapsed().as_nanos() as f64 / (count / WAVE * WAVE) as f64
}
