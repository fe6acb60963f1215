//! What the requests port promises, over NATS and in memory.

mod bed;
mod nats;

use std::collections::BTreeSet;

use bytes::Bytes;
use waxwing_engine::{
    answer,
    entry::Partition,
    port::requests::{Answer, Arrival, Incoming, Kind, Message},
};
use waxwing_event::{HandlerSpec, Headers};

use self::bed::{Bed, both, within};

const PARTITION: Partition = Partition(0);

fn spec() -> HandlerSpec {
    let mut spec = HandlerSpec::new("basket".parse().unwrap(), Vec::new());
    spec.request = vec!["cmd.basket.>".parse().unwrap(), "show.*".parse().unwrap()];
    spec.live = vec!["clicks.>".parse().unwrap()];
    spec
}

fn reply(text: &str) -> Answer {
    let headers: Headers = [("Content-Type", "text/plain"), ("state", "ü")].into_iter().collect();
    Answer::Reply { headers, payload: Bytes::copy_from_slice(text.as_bytes()) }
}

async fn message(incoming: &mut Box<dyn Incoming>) -> Message {
    match within(incoming.next()).await {
        Some(Arrival::Message(message)) => message,
        other => panic!("a message was to come: {other:?}"),
    }
}

/// Answers each message with the number of the host and the message's payload, until nothing more comes.
fn serve(mut incoming: Box<dyn Incoming>, host: usize) -> tokio::task::JoinHandle<usize> {
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(Arrival::Message(message)) = incoming.next().await {
            count += 1;
            let text = format!("{host}:{}", String::from_utf8_lossy(&message.payload));
            if let Some(sender) = message.sender {
                sender.answer(&reply(&text));
            }
        }
        count
    })
}

both!(brings_a_request_whole_and_its_answer_back);
async fn brings_a_request_whole_and_its_answer_back(bed: Bed) {
    let host = bed.host("a").await;
    let mut incoming = host.share(&spec()).await;
    let headers: Headers = [("Nats-Msg-Id", "7"), ("a", "x y")].into_iter().collect();
    let asked = bed.ask("cmd.basket.show", &headers, "data");
    let message = message(&mut incoming).await;
    assert_eq!((message.kind, message.subject.as_str()), (Kind::Request, "cmd.basket.show"));
    assert_eq!((message.id(), message.headers.get("a")), (Some("7"), Some("x y")));
    assert_eq!(message.payload, "data");
    message.sender.unwrap().answer(&reply("done"));
    assert_eq!(within(asked).await.unwrap(), Some(reply("done")));
}

both!(brings_a_refusal_back);
async fn brings_a_refusal_back(bed: Bed) {
    let host = bed.host("a").await;
    let mut incoming = host.share(&spec()).await;
    let asked = bed.ask("show.basket", &Headers::new(), "");
    let refusal = answer::refused(Answer::BAD_REQUEST, "no such basket");
    message(&mut incoming).await.sender.unwrap().answer(&refusal);
    assert_eq!(within(asked).await.unwrap(), Some(refusal));
}

both!(brings_live_messages_for_which_nobody_waits);
async fn brings_live_messages_for_which_nobody_waits(bed: Bed) {
    let host = bed.host("a").await;
    let mut incoming = host.share(&spec()).await;
    bed.publish("clicks.home", "1").await;
    let message = message(&mut incoming).await;
    assert_eq!((message.kind, message.sender.is_none()), (Kind::Live, true));
    assert_eq!(message.payload, "1");
}

both!(hosts_share_what_comes);
async fn hosts_share_what_comes(bed: Bed) {
    let (a, b) = (bed.host("a").await, bed.host("b").await);
    let (first, second) = (a.share(&spec()).await, b.share(&spec()).await);
    let (_first, _second) = (serve(first, 1), serve(second, 2));
    let mut hosts = BTreeSet::new();
    for n in 0..100 {
        let Some(Answer::Reply { payload, .. }) =
            within(bed.ask("show.x", &Headers::new(), &n.to_string())).await.unwrap()
        else {
            panic!("no answer to {n}")
        };
        let text = String::from_utf8_lossy(&payload).into_owned();
        let (host, echoed) = text.split_once(':').unwrap();
        assert_eq!(echoed, n.to_string());
        hosts.insert(host.to_owned());
    }
    assert_eq!(hosts.len(), 2, "{hosts:?}");
}

both!(the_owner_answers_what_another_host_passes_on);
async fn the_owner_answers_what_another_host_passes_on(bed: Bed) {
    let (a, b) = (bed.host("a").await, bed.host("b").await);
    let mut shared = a.share(&spec()).await;
    let mut owned = b.own(&spec().name, PARTITION).await;
    let headers: Headers = [("Nats-Msg-Id", "7")].into_iter().collect();
    let asked = bed.ask("show.basket", &headers, "data");
    a.pass_on(message(&mut shared).await, &spec().name, PARTITION);
    let passed = message(&mut owned).await;
    assert_eq!((passed.kind, passed.subject.as_str()), (Kind::Request, "show.basket"));
    assert_eq!(passed.headers, headers);
    assert_eq!(passed.payload, "data");
    passed.sender.unwrap().answer(&reply("done"));
    assert_eq!(within(asked).await.unwrap(), Some(reply("done")));
    bed.publish("clicks.a", "live").await;
    a.pass_on(message(&mut shared).await, &spec().name, PARTITION);
    let passed = message(&mut owned).await;
    assert_eq!(
        (passed.kind, passed.subject.as_str(), passed.sender.is_none()),
        (Kind::Live, "clicks.a", true)
    );
}

both!(tells_at_once_that_nobody_owns_the_partition);
async fn tells_at_once_that_nobody_owns_the_partition(bed: Bed) {
    let host = bed.host("a").await;
    let mut shared = host.share(&spec()).await;
    // One who was the owner, and is it no more.
    drop(host.own(&spec().name, PARTITION).await);
    host.flush().await;
    let asked = bed.ask("cmd.basket.show", &Headers::new(), "");
    host.pass_on(message(&mut shared).await, &spec().name, PARTITION);
    assert_eq!(within(asked).await.unwrap(), Some(Answer::unowned(&spec().name)));
    bed.publish("clicks.a", "").await;
    host.pass_on(message(&mut shared).await, &spec().name, PARTITION);
    assert!(matches!(within(shared.next()).await, Some(Arrival::Lost(1))));
}

both!(gives_out_what_had_come_before_it_was_closed);
async fn gives_out_what_had_come_before_it_was_closed(bed: Bed) {
    let bed = std::sync::Arc::new(bed);
    let (a, b) = (bed.host("a").await, bed.host("b").await);
    let mut leaving = a.share(&spec()).await;
    let staying = b.share(&spec()).await;
    let staying = serve(staying, 2);
    let asked: Vec<_> = (0..200).map(|n| bed.ask_twice("show.x", n.to_string())).collect();
    // Somewhere in the midst of them.
    let first = message(&mut leaving).await;
    leaving.close();
    first.sender.unwrap().answer(&reply("first"));
    let count = 1 + within(serve(leaving, 1)).await.unwrap();
    for asked in asked {
        assert!(within(asked).await.unwrap().is_some(), "one request in 200 has no answer");
    }
    assert!(count < 200 && !staying.is_finished(), "{count}");
}
