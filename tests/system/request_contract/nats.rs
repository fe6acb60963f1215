//! What only NATS has: the micro service protocol, subjects that no log keeps, clients that die.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use waxwing_engine::port::requests::Answer;
use waxwing_event::Headers;

use super::{bed::Bed, message, reply, serve, spec, within};
use crate::raw::RawPublisher;

/// What so many services say to a verb, as the `nats` tool asks them.
async fn asked(bed: &Bed, subject: &str, expected: usize) -> Vec<Value> {
    let Bed::Nats { requester, .. } = bed else { panic!("over NATS") };
    let inbox = requester.new_inbox();
    let mut answers = requester.subscribe(inbox.clone()).await.unwrap();
    requester.publish_with_reply(subject.to_owned(), inbox, "".into()).await.unwrap();
    let mut said = Vec::new();
    while said.len() < expected {
        let answer = within(answers.next()).await.unwrap();
        if answer.status.is_none() {
            said.push(serde_json::from_slice::<Value>(&answer.payload).unwrap());
        }
    }
    said.sort_by_key(|value| value["id"].to_string());
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn every_host_is_listed_as_an_instance_of_the_app() {
    let bed = Bed::nats().await;
    let (a, b) = (bed.host("a").await, bed.host("b").await);
    for subject in ["$SRV.PING", "$SRV.PING.shop", "$SRV.INFO", "$SRV.STATS.shop"] {
        let said = asked(&bed, subject, 2).await;
        let ids: Vec<_> = said.iter().map(|value| value["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["a", "b"], "{subject}");
        assert!(said.iter().all(|value| value["name"] == "shop"), "{subject}");
    }
    let info = &asked(&bed, "$SRV.INFO.shop.b", 1).await[0];
    let subjects: Vec<_> = info["endpoints"].as_array().unwrap().iter().map(|e| &e["subject"]).collect();
    assert_eq!(subjects, ["cmd.basket.>", "show.*"]);
    assert!(info["endpoints"].as_array().unwrap().iter().all(|e| e["queue_group"] == "wx-shop-basket"));
    b.leave().await;
    b.flush().await;
    let Bed::Nats { requester, .. } = &bed else { panic!("over NATS") };
    // What is on its way to one that leaves is not answered.
    let nobody = async {
        let ping = async || requester.request("$SRV.PING.shop.b", "".into()).await.unwrap_err().kind();
        while ping().await != async_nats::RequestErrorKind::NoResponders {}
    };
    within(nobody).await;
    assert_eq!(asked(&bed, "$SRV.PING.shop", 1).await[0]["id"], "a");
    drop(a);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_counted_by_the_host_that_gives_them() {
    let bed = Bed::nats().await;
    let (a, b) = (bed.host("a").await, bed.host("b").await);
    let mut shared = a.share(&spec()).await;
    let owned = b.own(&spec().name, super::PARTITION).await;
    let _serving = serve(owned, 2);
    for _ in 0..3 {
        let asked = bed.ask("show.x", &Headers::new(), "");
        a.pass_on(message(&mut shared).await, &spec().name, super::PARTITION);
        within(asked).await.unwrap().unwrap();
    }
    let asked_for = bed.ask("cmd.basket.x", &Headers::new(), "");
    let refusal = waxwing_engine::answer::refused(Answer::FAILED, "broken");
    message(&mut shared).await.sender.unwrap().answer(&refusal);
    within(asked_for).await.unwrap().unwrap();
    let stats = asked(&bed, "$SRV.STATS.shop", 2).await;
    let of = |host: usize, endpoint: usize| &stats[host]["endpoints"][endpoint];
    assert_eq!((of(1, 1)["num_requests"].as_u64(), of(1, 1)["num_errors"].as_u64()), (Some(3), Some(0)));
    assert!(of(1, 1)["processing_time"].as_u64().unwrap() > 0);
    assert_eq!((of(0, 0)["num_errors"].as_u64(), &of(0, 0)["last_error"]), (Some(1), &"500:broken".into()));
    assert_eq!(of(0, 1)["num_requests"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_headers_end_the_client_stops_nobody() {
    let bed = Bed::nats().await;
    let host = bed.host("a").await;
    let _serving = serve(host.share(&spec()).await, 1);
    let Bed::Nats { server, .. } = &bed else { panic!("over NATS") };
    for block in
        [&b"NATS/1.0\r\nno colon\r\n\r\n"[..], b"NATS/1.0\r\na: b\rc\r\n\r\n", b"NATS/1.0\r\na: \xff\r\n\r\n"]
    {
        RawPublisher::connect(server.process.port()).await.send("show.x", block, b"").await;
        // Until the connection stands again a request finds nobody, or is lost with the old one.
        let answered = async {
            loop {
                let asked = bed.ask("show.x", &Headers::new(), "again");
                if let Ok(Ok(Some(answer))) = tokio::time::timeout(Duration::from_secs(1), asked).await {
                    return answer;
                }
            }
        };
        assert_eq!(within(answered).await, reply("1:again"));
    }
}
