//! What arrives, on which connection, and who waits for it.

use std::time::Duration;

use serde_json::json;
use waxwing_event::{Outcome, outcome::FailureKind};
use waxwing_sandbox::Outside;

use super::{
    bed::{Bed, asked, call, failure, run, spec},
    server::Server,
};
use crate::app::module;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrive_as_they_were_made_and_use_one_connection() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let handler = bed.load(&spec(&[&server.origin()]));
    let calls = json!([
        { "method": "GET", "url": server.url("/bytes/5?a=b") },
        { "method": "POST", "url": server.url("/ok"), "bytes": 100_000, "headers": [["X-Own", "yes"], ["User-Agent", "me"]] },
        { "method": "DELETE", "url": server.url("/ok#part") },
    ]);
    let came = call(&handler, calls).await;
    assert_eq!(came[0], json!({ "status": 200, "body": "bbbbb" }));
    assert_eq!(came[1], json!({ "status": 200, "body": "ok" }));
    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("GET", "/bytes/5?a=b"));
    assert_eq!(seen[0].header("host"), Some(server.origin().trim_start_matches("http://")));
    assert!(seen[0].header("user-agent").unwrap().starts_with("waxwing/"));
    assert_eq!((seen[1].header("x-own"), seen[1].header("user-agent")), (Some("yes"), Some("me")));
    assert_eq!(seen[1].body, vec![b'x'; 100_000]);
    assert_eq!((seen[2].method.as_str(), seen[2].path.as_str()), ("DELETE", "/ok"));
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_has_closed_costs_no_call() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let handler = bed.load(&spec(&[&server.origin()]));
    for _ in 0..5 {
        let came = call(&handler, json!([{ "method": "GET", "url": server.url("/ended") }])).await;
        assert_eq!(came[0]["status"], 200);
    }
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_leaves_its_worker_to_others_and_ends_with_its_deadline() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let mut spec = spec(&[&server.origin()]);
    spec.limits.deadline = Duration::from_secs(3);
    let handler = bed.load(&spec);
    let silent = json!([{ "method": "GET", "url": server.url("/silent/99") }]);
    let waits = tokio::spawn({
        let handler = handler.clone();
        async move { failure(&handler, silent).await }
    });
    server.asked(1).await;
    let quick = call(&handler, json!([{ "method": "GET", "url": server.url("/ok") }])).await;
    assert_eq!(quick[0]["status"], 200);
    assert!(!waits.is_finished(), "the first run still waits, on the only worker");
    let failure = waits.await.unwrap();
    assert_eq!(
        (failure.kind, failure.reason.as_str()),
        (FailureKind::Deadline, "ran longer than its deadline of 3s")
    );
    // The call ends with its run.
    server.left_alone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_runs_wait_at_once() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let handler = bed.load(&spec(&[&server.origin()]));
    let calls = json!([{ "method": "POST", "url": server.url("/ok"), "bytes": 10 }]);
    let runs = (0..100).map(|n| run(&handler, asked(&n.to_string(), &calls, &[])));
    let outcomes = futures::future::join_all(runs).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done(_))));
    let mut keys: Vec<String> = server.seen().iter().map(|seen| seen.key().to_owned()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 100);
}

#[test]
fn a_module_that_calls_nothing_imports_nothing_of_it() {
    let imports = |name: &str| {
        let module = std::fs::read(module(name)).unwrap();
        let imports = waxwing_sandbox::check(&module).unwrap().imports;
        imports.into_iter().filter(|import| import.starts_with("wasi:http/")).collect::<Vec<_>>()
    };
    assert_eq!(imports("counter"), Vec::<String>::new());
    assert!(!imports("caller").is_empty());
}
