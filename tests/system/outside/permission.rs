//! Publishing outside on a real server that does not permit everything, and where nobody keeps anything.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use waxwing_engine::port::outside::{Message, Publish, SendError, Sent};
use waxwing_event::{Headers, handler::Audience};
use waxwing_log::{JetStreamOutside, jetstream::Server};

use crate::{app::PATIENCE, configured::Configured};

const CONFIG: &str = r#"
authorization {
  users = [ { user: app, password: app, permissions: { publish: { deny: ["secret.>"] } } } ]
}
"#;

async fn send(outside: &JetStreamOutside, subject: &str, audience: Audience) -> Result<Sent, SendError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let subject = subject.parse().unwrap();
    let message =
        Message { id: "1".to_owned(), subject, audience, headers: Headers::new(), payload: "x".into() };
    outside.publish(message, Box::new(move |end| drop(sender.send(end))));
    tokio::time::timeout(PATIENCE, receiver).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_a_refusal_that_names_the_subject() {
    let mut configured = Configured::start(CONFIG).await;
    let server =
        Server { user: Some(("app".to_owned(), "app".to_owned())), ..Server::at(configured.url.clone()) };
    let outside = JetStreamOutside::connect(&server).await.unwrap();

    for audience in [Audience::Stream, Audience::Live] {
        let Err(SendError::Refused(why)) = send(&outside, "secret.a", audience).await else { panic!() };
        assert!(why.contains("does not permit this user to publish to `secret.a`"), "{why}");
    }
    assert_eq!(send(&outside, "open.a", Audience::Live).await, Ok(Sent::Told));
    let Err(SendError::Away(why)) = send(&outside, "open.a", Audience::Stream).await else { panic!() };
    assert!(why.contains("no stream keeps `open.a` now"), "{why}");
    configured.kill().await;
    let Err(SendError::Away(_)) = send(&outside, "open.a", Audience::Live).await else { panic!() };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_out_in_the_order_in_which_they_were_handed_over() {
    let server = crate::server::TestServer::start().await;
    let outside = JetStreamOutside::connect(&server.address()).await.unwrap();
    let client = async_nats::connect(server.process.url()).await.unwrap();
    let mut heard = client.subscribe("a.*").await.unwrap();
    // What comes back shows that the server knows the subscription.
    client.publish("a.ready", "".into()).await.unwrap();
    assert_eq!(heard.next().await.unwrap().subject.as_str(), "a.ready");
    let ends = Arc::new(Mutex::new(Vec::new()));
    for n in 0..500 {
        let subject = format!("a.{n}").parse().unwrap();
        let (audience, ends) = (Audience::Live, ends.clone());
        let message =
            Message { id: n.to_string(), subject, audience, headers: Headers::new(), payload: "x".into() };
        outside.publish(message, Box::new(move |end| ends.lock().unwrap().push((n, end))));
    }
    for n in 0..500 {
        let message = tokio::time::timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
        assert_eq!(message.subject.as_str(), format!("a.{n}"));
        assert_eq!(super::target::header(&message, "Nats-Msg-Id"), Some(n.to_string().as_str()));
    }
    let ended = async {
        while ends.lock().unwrap().len() < 500 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert!(ends.lock().unwrap().iter().all(|(_, end)| *end == Ok(Sent::Told)));
}
