//! How fast a story is found in a long log: by its index, and by one direct get to compare.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use waxwing::story::{
    self, Story,
    index::{SPAN, build::Builder},
    read::Source,
};
use waxwing_engine::{
    entry::Layout,
    port::{
        Log,
        log::{NewEntry, Part, commit},
    },
};
use waxwing_event::Position;

use crate::{hosts, ours, processes, server::TestServer};

/// Events of one story.
const EACH: u64 = 8;
/// How many stories are looked up.
const LOOKED_UP: u64 = 50;

pub async fn run(count: u64) {
    println!("\nstories: {count} events in the log, {EACH} of each story; medians of {LOOKED_UP}");
    let server = TestServer::start().await;
    let log = ours::log(&server.address(), "app").await;
    let layout = Layout::new("app".parse().unwrap());
    let stories = count / EACH;
    write(log.as_ref(), (0..count).map(|n| event(n, &format!("s{}", n % stories)))).await;
    let begun = Instant::now();
    let builder = Builder::new(log.clone(), layout.clone(), "bench");
    builder.catch_up().await.unwrap();
    println!("{:<36} {:>10.1} s", "index made from nothing, at full speed", begun.elapsed().as_secs_f64());
    // The worst case: as much as there can be that is not indexed.
    let last = log.bounds().await.unwrap().last.0;
    let more = (SPAN - 1).saturating_sub(last % SPAN);
    write(log.as_ref(), (count..count + more).map(|n| event(n, "of nobody"))).await;

    let ids = || (0..LOOKED_UP).map(|n| n * (stories / LOOKED_UP));
    let mut gets = Vec::new();
    for n in ids() {
        let begun = Instant::now();
        log.at(Position(n + 1), Part::Whole).await.unwrap().unwrap();
        gets.push(begun.elapsed());
    }
    let (mut found, mut before) = (Vec::new(), Vec::new());
    for n in ids() {
        let begun = Instant::now();
        let story = told(&log, &layout, n, true).await;
        found.push(begun.elapsed());
        assert_eq!(story.events.len() as u64, EACH);
        before.push(story);
    }
    let begun = Instant::now();
    assert_eq!(told(&log, &layout, 1, false).await, told(&log, &layout, 1, true).await);
    let whole = begun.elapsed();
    let (get, found) = (ms(gets), ms(found));
    println!("{:<36} {get:>10.2} ms", "one direct get");
    println!(
        "{:<36} {found:>10.2} ms   x get: {:.0} (goal: under 50 ms)",
        "a story, by the index",
        found / get
    );
    println!("{:<36} {:>10.2} ms", "a story, by the whole log", whole.as_secs_f64() * 1e3);

    // The command, from its start to its end, and one that reads a single value.
    let app = TempDir::new().unwrap();
    hosts::write_app(app.path(), 1);
    let (mut traces, mut others) = (Vec::new(), Vec::new());
    for n in ids().take(20) {
        let begun = Instant::now();
        processes::run(app.path(), &server, &["trace", &format!("s{n}")]).await;
        traces.push(begun.elapsed());
        let begun = Instant::now();
        processes::run(app.path(), &server, &["dead", "ls"]).await;
        others.push(begun.elapsed());
    }
    println!("{:<36} {:>10.2} ms", "`waxwing trace`, all of it", ms(traces));
    println!("{:<36} {:>10.2} ms", "`waxwing dead ls`, all of it", ms(others));

    let last = log.bounds().await.unwrap().last;
    log.remove(&"wx.app.index.>".parse().unwrap(), last).await.unwrap();
    builder.catch_up().await.unwrap();
    for (n, before) in ids().zip(before) {
        assert_eq!(told(&log, &layout, n, true).await, before);
    }
    println!("the index made anew gives the same");
}

async fn write(log: &dyn Log, events: impl Iterator<Item = NewEntry>) {
    let mut events = events.peekable();
    while events.peek().is_some() {
        commit(log, events.by_ref().take(1000).collect()).await.unwrap();
    }
}

fn event(n: u64, story: &str) -> NewEntry {
    let mut entry = NewEntry::new("app.in".parse().unwrap(), vec![b'x'; 200]);
    let id = format!("e{n}");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-type", "bench"),
        ("ce-source", "/bench"),
        ("ce-id", id.as_str()),
        ("ce-correlationid", story),
    ] {
        entry.headers.push(name, value);
    }
    entry
}

async fn told(log: &Arc<dyn Log>, layout: &Layout, n: u64, with_index: bool) -> Story {
    let source = Source { log: log.as_ref(), layout, foreign: BTreeSet::new() };
    let gathered = story::read(&source, &format!("s{n}"), with_index).await.unwrap().unwrap();
    Story::of(gathered, layout, &[]).unwrap()
}

fn ms(times: Vec<Duration>) -> f64 {
    crate::median(times.iter().map(|time| time.as_secs_f64() * 1e3).collect())
}
