//! Idempotency keys and what else the host says itself.

use serde_json::json;
use waxwing_sandbox::Outside;

use super::{
    bed::{Bed, asked, run, spec},
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_of_an_event_has_the_keys_of_the_first() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let handler = bed.load(&spec(&[&server.origin()]));
    let post = |path: &str| json!({ "method": "POST", "url": server.url(path) });
    let calls = json!([
        post("/a"), post("/a"), post("/b"),
        { "method": "GET", "url": server.url("/a") },
        { "method": "POST", "url": server.url("/own"), "headers": [["Idempotency-Key", "of-order-7"]] },
    ]);
    run(&handler, asked("e1", &calls, &[])).await;
    let mut again = asked("e1", &calls, &[]);
    again.attempt = 2;
    run(&handler, again).await;
    // What it does not ask for this time changes no key of the rest.
    run(&handler, asked("e1", &json!([post("/b"), post("/a?at=now")]), &[])).await;
    run(&handler, asked("e2", &json!([post("/a")]), &[])).await;
    let seen = server.seen();
    assert_eq!(seen.len(), 5 + 5 + 2 + 1);
    let key = |index: usize| seen[index].header("idempotency-key");
    assert_eq!([key(0), key(1), key(2)], [key(5), key(6), key(7)]);
    assert!(key(0) != key(1) && key(1) != key(2) && key(0) != key(2));
    assert_eq!((key(3), key(8)), (None, None), "a safe call needs none");
    assert_eq!((key(4), key(9)), (Some("of-order-7"), Some("of-order-7")));
    assert_eq!((key(10), key(11)), (key(2), key(0)));
    assert_ne!(key(12), key(0));
    let written = key(0).unwrap();
    let uuid: uuid::Uuid = written.trim_matches('"').parse().unwrap();
    assert_eq!((uuid.get_version_num(), written.len()), (5, 38));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_an_event_goes_on_with_its_calls() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let handler = bed.load(&spec(&[&server.origin()]));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let calls = json!([
        { "method": "GET", "url": server.url("/ok") },
        { "method": "GET", "url": server.url("/ok"), "headers": [["traceparent", "its own"]] },
    ]);
    run(&handler, asked("e1", &calls, &[("ce-traceparent", parent)])).await;
    run(&handler, asked("e2", &calls, &[])).await;
    let seen = server.seen();
    let traces: Vec<Option<&str>> = seen.iter().map(|seen| seen.header("traceparent")).collect();
    assert_eq!(traces, [Some(parent), Some("its own"), None, Some("its own")]);
}
