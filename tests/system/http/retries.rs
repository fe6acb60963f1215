//! What is tried again, and how often.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use waxwing_sandbox::{Handler, Outside};

use super::{
    bed::{Bed, call, spec},
    server::Server,
};
use std::sync::Arc;

fn handler(bed: &Bed, server: &Server, attempts: u32) -> Arc<Handler> {
    let mut spec = spec(&[&server.origin()]);
    spec.http.attempts = NonZeroU32::new(attempts).unwrap();
    bed.load(&spec)
}

async fn post(handler: &Handler, server: &Server, path: &str) -> Value {
    call(handler, json!([{ "method": "POST", "url": server.url(path), "bytes": 10 }])).await[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_is_tried_again_with_the_same_key_and_body() {
    for path in ["/flaky/2/503", "/flaky/2/502", "/flaky/2/504", "/lost/2"] {
        let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
        let came = post(&handler(&bed, &server, 3), &server, path).await;
        assert_eq!(came, json!({ "status": 200, "body": "ok" }), "{path}");
        let seen = server.seen();
        assert_eq!(seen.len(), 3, "{path}");
        assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_tried_again_unless_the_manifest_says_so() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let handler = handler(&bed, &server, 1);
    assert_eq!(post(&handler, &server, "/flaky/1/503").await["status"], 503);
    assert!(post(&handler, &server, "/lost/1").await["error"].is_string());
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_will_not_pass_is_the_answer_at_once_and_the_last_answer_is_it_too() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let handler = handler(&bed, &server, 2);
    assert_eq!(post(&handler, &server, "/flaky/9/500").await["status"], 500);
    assert_eq!(server.seen().len(), 1);
    assert_eq!(post(&handler, &server, "/flaky/9/503").await["status"], 503);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_when_to_come_again_and_a_call_that_would_end_before_does_not() {
    let (server, bed) = (Server::start().await, Bed::new(Outside::Granted));
    let started = Instant::now();
    let came = post(&handler(&bed, &server, 2), &server, "/later/1").await;
    assert_eq!((&came["status"], server.seen().len()), (&json!(200), 2));
    assert!(started.elapsed() >= Duration::from_secs(1));

    let mut spec = spec(&[&server.origin()]);
    spec.http.attempts = NonZeroU32::new(5).unwrap();
    spec.limits.deadline = Duration::from_millis(900);
    let hurried = bed.load(&spec);
    let came = post(&hurried, &server, "/later/2").await;
    assert_eq!((&came["status"], server.seen().len()), (&json!(429), 3));
}
