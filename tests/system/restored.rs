//! The log restored from an older copy of the server's store.

use std::{fs, path::Path};

use waxwing_event::Position;

use crate::{
    app::{App, Input},
    counters::{COUNTERS, HANDLERS, inputs, settled},
    seed::seeded,
};

const EACH: u64 = 200;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for found in from.read_dir().unwrap() {
        let found = found.unwrap();
        let target = to.join(found.file_name());
        if found.file_type().unwrap().is_dir() {
            copy(&found.path(), &target);
        } else {
            fs::copy(found.path(), target).unwrap();
        }
    }
}

async fn handled(app: &App, inputs: &[Input]) -> Position {
    let last = app.publish(inputs).await;
    for handler in HANDLERS {
        app.handled(handler, last).await;
    }
    last
}

/// Lines of the hosts' log by which a handler says that it has stopped.
fn stopped(app: &App) -> usize {
    let log = app.host_log();
    let lines = log.lines().filter(|line| line.contains("stopped: somebody must help"));
    lines.filter(|line| line.contains("it was restored from an older copy or replaced")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_host_stops_at_an_older_log_and_the_next_one_goes_on_with_it() {
    let mut random = seeded();
    let mut app = App::new(COUNTERS).await;
    let host = app.host().await;
    let kept = inputs(&mut random, 0, EACH);
    handled(&app, &kept).await;
    let older = tempfile::tempdir().unwrap();
    app.server.process.stop().await.unwrap();
    copy(app.server.store(), older.path());
    app.server.process.restart().await.unwrap();
    handled(&app, &inputs(&mut random, EACH, EACH)).await;
    let before = app.result().await;

    app.server.process.stop().await.unwrap();
    fs::remove_dir_all(app.server.store()).unwrap();
    copy(older.path(), app.server.store());
    app.server.process.restart().await.unwrap();
    let stops = async {
        while stopped(&app) < HANDLERS.len() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(crate::app::PATIENCE, stops).await.expect("every handler stops");
    // What is published now waits for somebody to decide.
    let after = inputs(&mut random, 2 * EACH, EACH);
    let last = app.publish(&after).await;
    let shown = async { while app.run(&["ls"]).await.matches("stopped since").count() < HANDLERS.len() {} };
    tokio::time::timeout(crate::app::PATIENCE, shown).await.expect("`ls` tells of it");
    let restored = app.result().await;
    assert!(restored.emitted.len() < before.emitted.len());
    assert!(host.stop().await);
    assert_eq!(app.result().await.emitted, restored.emitted, "a stopped handler writes nothing");

    let host = app.host().await;
    let all: Vec<Input> = kept.into_iter().chain(after).collect();
    settled(&app, last, &all).await;
    assert!(!app.run(&["ls"]).await.contains("stopped"));
    assert!(host.stop().await);
    assert_eq!(stopped(&app), HANDLERS.len());
}
