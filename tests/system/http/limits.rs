//! What calls may use up: just under, at, just over.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_sandbox::Outside;

use super::{
    bed::{Bed, call, spec},
    server::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_have_as_many_bytes_as_they_may() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let mut spec = spec(&[&server.origin()]);
    (spec.http.request_bytes, spec.http.response_bytes) = (100_000, 1_000);
    let handler = bed.load(&spec);
    let post = |bytes: u32| json!({ "method": "POST", "url": server.url("/ok"), "bytes": bytes });
    let get = |path: &str| json!({ "method": "GET", "url": server.url(path) });
    let calls = json!([
        post(100_000),
        post(100_001),
        post(1_000_000),
        get("/bytes/1000"),
        get("/bytes/1001"),
        get("/endless"),
    ]);
    let came = call(&handler, calls).await;
    let too_large = |limit: u32| format!("body of an HTTP call is larger than {limit} bytes");
    assert_eq!(came[0]["status"], 200);
    assert_eq!(came[1]["error"], too_large(100_000));
    assert_eq!(came[2]["error"], too_large(100_000));
    assert_eq!(came[3]["body"].as_str().map(str::len), Some(1_000));
    assert_eq!(came[4]["error"], too_large(1_000));
    assert_eq!(came[5]["error"], too_large(1_000));
    // What is too large to be sent was not begun.
    assert_eq!(server.seen().len(), 4);
    server.left_alone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_makes_as_many_calls_as_it_may_and_the_next_one_again() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let mut spec = spec(&[&server.origin()]);
    spec.http.max_calls = 3;
    spec.instance = waxwing_event::handler::Instance::Reuse;
    let handler = bed.load(&spec);
    let calls: Vec<Value> = (0..4).map(|_| json!({ "method": "GET", "url": server.url("/ok") })).collect();
    for _ in 0..2 {
        let came = call(&handler, json!(calls)).await;
        assert_eq!(came[2]["status"], 200);
        assert_eq!(came[3]["error"], "the run has made as many HTTP calls as it may");
    }
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_is_not_waited_for_longer_than_said() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let mut spec = spec(&[&server.origin()]);
    spec.http.timeout = Duration::from_millis(700);
    let handler = bed.load(&spec);
    let started = Instant::now();
    let silent = json!({ "method": "GET", "url": server.url("/silent/99") });
    let mut impatient = silent.clone();
    impatient["timeout-ms"] = json!(50);
    let came = call(&handler, json!([silent, impatient])).await;
    let took = started.elapsed();
    for came in came.as_array().unwrap() {
        assert_eq!(came["error"], format!("{} has not answered in time", server.url("/silent/99")));
    }
    assert!(took >= Duration::from_millis(750), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    server.left_alone().await;
}
