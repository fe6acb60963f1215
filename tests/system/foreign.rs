//! Guests that were written for other hosts, as they are: the same app for each of the four contracts, on a real server.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use async_nats::Client;
use futures::StreamExt;
use tokio_util::task::AbortOnDropHandle;
use waxwing_event::{Event, outcome::FailureKind};

use crate::app::{App, HostProcess, Input, PATIENCE};

/// A contract, and what is particular to its guests.
struct Guest {
    module: &'static str,
    /// How a failure counts that is of no other kind.
    failed: FailureKind,
    /// The media type of what it publishes.
    content_type: Option<&'static str>,
}

const GUESTS: [Guest; 4] = [
    Guest { module: "wasmcloud-records", failed: FailureKind::Retry, content_type: None },
    Guest { module: "wasmcloud-streams", failed: FailureKind::Reject, content_type: None },
    Guest { module: "wasmcloud-resources", failed: FailureKind::Retry, content_type: Some("text/x-test") },
    Guest { module: "wasi-messaging", failed: FailureKind::Retry, content_type: Some("text/x-test") },
];

fn manifest(guest: &Guest) -> String {
    format!(
        r#"
[app]
name = "foreign"
events = ["in.>", "foreign.>"]

[handlers.guest]
module = "{}.wasm"
on = ["in.*"]
request = ["cmd.echo"]
deadline = "20s"
retry = {{ attempts = 3, immediate = 3 }}
on-exhausted = "dead-letter-event"
outage = {{ after = 0 }}

[handlers.guest.grants]
emit = ["foreign.>"]
request = ["outside.>"]
"#,
        guest.module
    )
}

/// Answers questions as somebody outside would; `outside.ready` says yes to the third.
async fn responder(client: &Client, asked: Arc<AtomicU64>) -> AbortOnDropHandle<()> {
    // Nobody listens to `outside.nobody`.
    let echo = client.subscribe("outside.echo").await.unwrap();
    let mut questions = futures::stream::select(echo, client.subscribe("outside.ready").await.unwrap());
    // It is established when what comes after it is answered.
    client.flush().await.unwrap();
    let client = client.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let answer = match question.subject.as_str() {
                "outside.echo" => [b"heard: ", question.payload.as_ref()].concat(),
                "outside.ready" if asked.fetch_add(1, SeqCst) < 2 => b"no".to_vec(),
                _ => b"yes".to_vec(),
            };
            if let Some(address) = question.reply {
                client.publish(address, answer.into()).await.unwrap();
            }
        }
    }))
}

fn input(behaviour: &str) -> Input {
    Input {
        subject: format!("in.{behaviour}"),
        id: behaviour.to_owned(),
        data: format!("data of {behaviour}").into(),
    }
}

struct Bed {
    app: App,
    host: HostProcess,
    asked: Arc<AtomicU64>,
    client: Client,
    _responder: AbortOnDropHandle<()>,
}

impl Bed {
    async fn new(guest: &Guest) -> Bed {
        let app = App::new(&manifest(guest)).await;
        let (client, asked) = (app.client().await, Arc::default());
        let responder = responder(&client, Arc::clone(&asked)).await;
        let host = app.host().await;
        Bed { app, host, asked, client, _responder: responder }
    }

    async fn handles(&self, behaviours: &[&str]) {
        let inputs: Vec<Input> = behaviours.iter().map(|behaviour| input(behaviour)).collect();
        let last = self.app.publish(&inputs).await;
        self.app.handled("guest", last).await;
    }
}

fn caused_by<'a>(emitted: &'a [Event], id: &str) -> Vec<&'a Event> {
    emitted.iter().filter(|event| event.causation_id.as_deref() == Some(id)).collect()
}

async fn publishes_as_effects_of_the_run(guest: &Guest) {
    let bed = Bed::new(guest).await;
    bed.handles(&["publish", "ask"]).await;
    let outcome = bed.app.result().await;
    let said = bed.app.host_log();
    assert_eq!(outcome.dead, [], "{said}");
    let published = caused_by(&outcome.emitted, "publish");
    let [published] = published[..] else { panic!("{:?}\n{said}", outcome.emitted) };
    assert_eq!((published.subject.as_str(), published.event_type.as_str()), ("foreign.done", "foreign.done"));
    assert_eq!(published.data, "data of publish");
    assert_eq!(published.content_type.as_deref(), guest.content_type);
    assert_eq!(published.source, "/foreign/guest");
    assert_eq!(published.correlation_id, "publish");
    let asked = caused_by(&outcome.emitted, "ask");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].data, "heard: data of ask");
    assert!(bed.host.stop().await);
}

async fn fails_without_effects(guest: &Guest) {
    let bed = Bed::new(guest).await;
    bed.handles(&["fail", "denied", "nobody", "trap"]).await;
    let outcome = bed.app.result().await;
    assert_eq!(outcome.emitted, []);
    let dead: Vec<_> = outcome.dead.iter().map(|letter| &letter.about).collect();
    assert_eq!(dead.len(), 4, "{dead:?}");
    for about in dead {
        let (kind, words) = match about.original.event_id.as_deref().unwrap() {
            "fail" => (guest.failed, "failed on request"),
            "denied" if guest.module == "wasmcloud-streams" => (guest.failed, "AccessDenied"),
            "denied" => (guest.failed, "no grant of the handler covers `secret.plans`"),
            "nobody" if guest.module == "wasmcloud-streams" => (guest.failed, "BrokerUnavailable"),
            "nobody" => (guest.failed, "outside.nobody"),
            _ => (FailureKind::Trap, "no such behaviour"),
        };
        assert_eq!(about.kind, kind, "{about:?}");
        assert!(about.reason.contains(words), "{about:?}");
        let attempts = if kind == FailureKind::Reject { 1 } else { 3 };
        assert_eq!(about.attempts, attempts, "{about:?}");
    }
    assert!(bed.host.stop().await);
}

async fn is_tried_again(guest: &Guest) {
    let bed = Bed::new(guest).await;
    bed.handles(&["later"]).await;
    let outcome = bed.app.result().await;
    assert_eq!(outcome.dead, [], "{}", bed.app.host_log());
    let [done] = &outcome.emitted[..] else { panic!("{:?}", outcome.emitted) };
    assert_eq!(done.data, "at last");
    assert_eq!(bed.asked.load(SeqCst), 3);
    assert!(bed.host.stop().await);
}

async fn replies_when_it_is_durable(guest: &Guest) {
    let bed = Bed::new(guest).await;
    let request = async_nats::Request::new().payload("hello".into()).timeout(Some(PATIENCE));
    let answer = bed.client.send_request("cmd.echo", request).await.unwrap();
    assert_eq!(answer.payload, "HELLO", "{answer:?}");
    let outcome = bed.app.result().await;
    let [done] = &outcome.emitted[..] else { panic!("{:?}", outcome.emitted) };
    assert_eq!(done.data, "hello");
    assert!(bed.host.stop().await);
}

macro_rules! each {
    ($($name:ident = $index:literal),*) => {$(
        mod $name {
            use super::{GUESTS, fails_without_effects, is_tried_again, publishes_as_effects_of_the_run, replies_when_it_is_durable};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_it_publishes_is_part_of_the_commit() {
                publishes_as_effects_of_the_run(&GUESTS[$index]).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn of_a_run_that_fails_nothing_stays_but_the_reason() {
                fails_without_effects(&GUESTS[$index]).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn what_asks_for_another_attempt_gets_one() {
                is_tried_again(&GUESTS[$index]).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn who_asks_gets_what_it_publishes_to_the_address_for_replies() {
                replies_when_it_is_durable(&GUESTS[$index]).await;
            }
        }
    )*};
}

each!(records = 0, streams = 1, resources = 2, proposal = 3);
