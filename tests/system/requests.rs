//! Requests and live messages from end to end: real modules, real hosts, a real server.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_nats::{Client, Message, RequestErrorKind};
use futures::StreamExt;
use serde_json::{Value, json};
use waxwing_engine::{
    entry::{Lease, Partition},
    port::Log,
};

use crate::{
    app::{App, HostProcess, Input, Outcome, PATIENCE},
    asked::{self, code},
};

const COUNTER: &str = r#"
[app]
name = "asked"
events = ["in.>", "counter.>"]

[host]
lease = "1s"

[handlers.count]
module = "counter.wasm"
on = ["in.>"]
request = ["cmd.count.*"]
key = "data.key"

[handlers.count.grants]
emit = ["counter.counted"]
"#;

async fn ask(client: &Client, subject: &str, id: Option<&str>, key: &str, n: u64) -> Option<Message> {
    asked::ask(client, subject, id, &json!({ "key": key, "n": n })).await
}

async fn answered(client: &Client, subject: &str, id: &str, key: &str, n: u64) -> Message {
    asked::answered(client, subject, id, &json!({ "key": key, "n": n })).await
}

fn data(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

async fn owner(app: &App) -> Option<String> {
    let lease = app.layout.lease(&"count".parse().unwrap(), Partition(0));
    let entry = app.log().await.last(&lease).await.unwrap()?;
    Lease::read(&entry).unwrap().host
}

/// Two hosts, of which the first is the owner.
async fn two_hosts(app: &App) -> (HostProcess, HostProcess) {
    (app.host().await, app.standby().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_answers_what_it_knows() {
    let app = App::new(
        r#"
[app]
name = "shop"
events = ["prices.>", "baskets.>"]

[handlers.basket]
module = "basket.wasm"
on = ["baskets.item-added", "prices.updated"]
request = ["cmd.basket.show"]
key = "data.productId"

[handlers.basket.grants]
emit = ["baskets.repriced"]
"#,
    )
    .await;
    let host = app.host().await;
    let item = json!({ "basketId": "b1", "productId": "tea", "quantity": 2 });
    let price = json!({ "productId": "tea", "newPrice": 3.5 });
    let inputs = [Input::new("baskets.item-added", "1", &item), Input::new("prices.updated", "2", &price)];
    let last = app.publish(&inputs).await;
    app.handled("basket", last).await;
    let tea = r#"{"productId":"tea"}"#;
    let shown: Value = serde_json::from_str(&app.run(&["request", "cmd.basket.show", tea]).await).unwrap();
    let known = json!({ "productId": "tea", "price": 3.5, "baskets": 1, "total": 7.0 });
    assert_eq!(shown, known);
    let whole = app.run(&["request", "cmd.basket.show", tea, "--output", "json"]).await;
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!((&whole["data"], &whole["headers"]["Content-Type"]), (&known, &"application/json".into()));

    let refused = |arguments: &'static [&'static str]| {
        let mut command = app.command(arguments);
        async move {
            let output = command.output().await.unwrap();
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8(output.stderr).unwrap()
        }
    };
    let unknown = refused(&["request", "cmd.basket.show", r#"{"productId":"x"}"#]).await;
    assert!(unknown.contains("`cmd.basket.show` is refused with 400: no such product"), "{unknown}");
    let no_key = refused(&["request", "cmd.basket.show", "{}"]).await;
    assert!(no_key.contains("400: the event has no key: nothing at `data.productId`"), "{no_key}");
    let nobody = refused(&["request", "cmd.other"]).await;
    assert!(nobody.contains("nobody answers on `cmd.other`"), "{nobody}");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_in_another_way_than_the_manifest_says_is_told_so() {
    let app = App::new(&COUNTER.replace("key =", "live = [\"clicks.>\"]\nkey =")).await;
    let host = app.host().await;
    let refused = async |mut command: tokio::process::Command| {
        let output = command.output().await.unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (arguments, words) in [
        (
            ["emit", "cmd.count.add"],
            "handler `count` answers requests on `cmd.count.add`: ask with `waxwing request`",
        ),
        (["emit", "wx.asked.paused.count"], "`wx.asked.paused.count` belongs to hosts or the server"),
        (["emit", "$JS.API.INFO"], "emit to a subject that `events` in waxwing.toml covers"),
        (["request", "in.item"], "nobody answers there: emit it with `waxwing emit`"),
        (["request", "clicks.home"], "answers none: emit it with `waxwing emit`"),
    ] {
        let said = refused(app.command(&arguments)).await;
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let click = app.run(&["emit", "clicks.home", r#"{"key":"k","n":7}"#]).await;
    assert!(click.ends_with(" sent; nobody acknowledges live messages\n"), "{click}");
    let heard = async { while counted(&app.result().await) != [7] {} };
    tokio::time::timeout(PATIENCE, heard).await.expect("the handler hears it");

    // Where no manifest is at hand.
    let mut elsewhere = app.command(&["request", "in.item", "{}"]);
    elsewhere.current_dir(app.path().parent().unwrap());
    let said = refused(elsewhere).await;
    assert!(said.contains("the stream `wx-asked` keeps `in.item` and has it at position"), "{said}");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_a_hundred_times_at_once_runs_once() {
    let app = App::new(COUNTER).await;
    let (first, second) = two_hosts(&app).await;
    let client = app.client().await;
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { answered(&client, "cmd.count.add", "the-one", "k", 7).await })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    answers.push(answered(&client, "cmd.count.add", "the-one", "k", 7).await);
    assert_eq!(data(&answers[0]), json!({ "key": "k", "n": 7, "count": 1 }));
    let same =
        |answer: &Message| answer.payload == answers[0].payload && answer.headers == answers[0].headers;
    assert_eq!(answers.iter().filter(|answer| same(answer)).count(), 101);
    assert_eq!(answers[0].headers.as_ref().unwrap().get("count").unwrap().as_str(), "1");
    let outcome = app.result().await;
    assert_eq!(outcome.emitted.len(), 1);
    // Whatever ran without the commit of its effects would show here.
    let shown = answered(&client, "cmd.count.show", "query", "k", 0).await;
    assert_eq!(data(&shown)["count"], 1);
    assert!(second.stop().await && first.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_host_is_listed_and_brings_requests_to_the_owner() {
    let app = App::new(COUNTER).await;
    let (first, second) = two_hosts(&app).await;
    let client = app.client().await;
    for n in 1..=60 {
        let answer = answered(&client, "cmd.count.add", &n.to_string(), "k", n).await;
        assert_eq!(data(&answer)["count"], n);
    }
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    client.publish_with_reply("$SRV.STATS.asked", inbox, "".into()).await.unwrap();
    let mut answered_by = BTreeMap::new();
    for _ in 0..2 {
        let said = tokio::time::timeout(PATIENCE, answers.next()).await.unwrap().unwrap();
        let said: Value = serde_json::from_slice(&said.payload).unwrap();
        assert_eq!(
            (&said["endpoints"][0]["name"], &said["endpoints"][0]["subject"]),
            (&json!("count"), &json!("cmd.count.*"))
        );
        let count = said["endpoints"][0]["num_requests"].as_u64().unwrap();
        answered_by.insert(said["id"].as_str().unwrap().to_owned(), count);
    }
    let owner = owner(&app).await.unwrap();
    assert_eq!(answered_by.len(), 2);
    assert_eq!(answered_by[&owner], 60, "the owner has answered all of them: {answered_by:?}");
    assert!(first.stop().await);
    // The other host is the owner now, and the only one that is listed.
    assert_eq!(data(&answered(&client, "cmd.count.show", "after", "k", 0).await)["count"], 60);
    assert!(second.stop().await);
    let nobody = client.request("cmd.count.show", "{}".into()).await.unwrap_err();
    assert_eq!(nobody.kind(), RequestErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_asked_again_after_a_kill_run_once() {
    const REQUESTS: u64 = 600;
    let app = App::new(COUNTER).await;
    let (first, second) = two_hosts(&app).await;
    let client = app.client().await;
    let asked = futures::stream::iter(0..REQUESTS).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            let key = format!("k{}", n % 7);
            (key.clone(), answered(&client, "cmd.count.add", &format!("r-{n}"), &key, n).await)
        })
    });
    let mut asked = asked.buffer_unordered(40);
    let (mut answers, mut first, mut second) = (Vec::new(), Some(first), Some(second));
    let mut third = None;
    while let Some(answer) = asked.next().await {
        answers.push(answer.unwrap());
        // In the midst of things, twice.
        if answers.len() == 200 {
            first.take().unwrap().kill().await;
            third = Some(app.host().await);
        }
        if answers.len() == 400 {
            second.take().unwrap().kill().await;
        }
    }
    assert_eq!(answers.len() as u64, REQUESTS);
    let outcome = app.result().await;
    assert_eq!(outcome.emitted.len() as u64, REQUESTS, "each ran once");
    // Each answer tells what its own commit has written.
    let written: BTreeSet<String> =
        outcome.emitted.iter().map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect();
    let told: BTreeSet<String> =
        answers.iter().map(|(_, answer)| String::from_utf8_lossy(&answer.payload).into_owned()).collect();
    assert_eq!(told, written);
    for key in 0..7_u64 {
        let of_key = answers.iter().filter(|(of, _)| *of == format!("k{key}")).count();
        let state: Value =
            serde_json::from_slice(&outcome.state[&("count".into(), format!("k{key}"))]).unwrap();
        assert_eq!(state["count"], of_key);
    }
    assert!(third.unwrap().stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_owner_that_is_said_at_once() {
    let app = App::new(&COUNTER.replace("1s", "4s")).await;
    let (first, second) = two_hosts(&app).await;
    let client = app.client().await;
    answered(&client, "cmd.count.add", "1", "k", 1).await;
    first.kill().await;
    // The lease of a killed host lasts a while; the other one says so meanwhile. Who is asked may be the killed one, of
    // whose end the server has not heard: nobody answers then.
    let refused = async {
        loop {
            let asked = ask(&client, "cmd.count.show", None, "k", 0);
            if let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(200), asked).await {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.expect("an answer comes at once");
    let text = refused.headers.as_ref().unwrap().get("Nats-Service-Error").unwrap().to_string();
    assert_eq!(code(&refused), Some(503));
    assert_eq!(text, "no host has the handler `count` at this moment: ask again");
    assert_eq!(data(&answered(&client, "cmd.count.show", "2", "k", 0).await)["count"], 1);
    assert!(second.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_woken_owner_answers_nothing_old() {
    let app = App::new(COUNTER).await;
    let (first, second) = two_hosts(&app).await;
    let client = app.client().await;
    answered(&client, "cmd.count.add", "1", "k", 1).await;
    first.signal("STOP").await;
    let mut count = 1;
    // Half of the requests get to the host that sleeps; they are asked again.
    for n in 2..=10 {
        let answer = answered(&client, "cmd.count.add", &n.to_string(), "k", n).await;
        count = data(&answer)["count"].as_u64().unwrap();
    }
    assert_eq!(count, 10);
    first.signal("CONT").await;
    for _ in 0..500 {
        if let Some(answer) = ask(&client, "cmd.count.show", None, "k", 0).await
            && code(&answer).is_none()
        {
            assert_eq!(data(&answer)["count"], 10);
        }
    }
    assert_eq!(app.result().await.emitted.len(), 10);
    assert!(first.stop().await && second.stop().await);
}

const LIVE: &str = r#"
[app]
name = "live"
events = ["counter.>"]

[host]
lease = "1s"

[handlers.count]
module = "counter.wasm"
live = ["clicks.>"]
concurrency = 1

[handlers.count.limits]
waiting = 1

[handlers.count.grants]
emit = ["counter.counted"]
"#;

/// Publishes live messages of these numbers.
async fn click(client: &Client, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let payload = json!({ "key": "k", "n": n }).to_string();
        client.publish("clicks.home", payload.into()).await.unwrap();
    }
    client.flush().await.unwrap();
}

/// How many messages the host says that it has shed.
fn shed(app: &App) -> u64 {
    let count = |line: &str| line.split("count=").nth(1)?.split_whitespace().next()?.parse::<u64>().ok();
    app.host_log().lines().filter(|line| line.contains("were shed")).filter_map(count).sum()
}

fn counted(outcome: &Outcome) -> Vec<u64> {
    let n = |data: &[u8]| serde_json::from_slice::<Value>(data).unwrap()["n"].as_u64().unwrap();
    outcome.emitted.iter().map(|event| n(&event.data)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_messages_that_find_no_room_are_counted() {
    const CLICKS: u64 = 3_000;
    let app = App::new(LIVE).await;
    let host = app.host().await;
    click(&app.client().await, 0..CLICKS).await;
    // What was handled and what was shed is everything, once the host has told of all.
    let all = async {
        loop {
            let handled = app.result().await.emitted.len() as u64;
            if handled + shed(&app) == CLICKS {
                return handled;
            }
            assert!(handled + shed(&app) < CLICKS, "{handled} and {}", shed(&app));
        }
    };
    let handled = tokio::time::timeout(PATIENCE, all).await.expect("each click is handled or shed");
    assert!(handled > 0 && handled < CLICKS, "{handled}");
    let lines = app.host_log().lines().filter(|line| line.contains("were shed")).count();
    assert!(lines < 30, "{lines} lines tell of it");
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_message_is_handled_at_most_once_whatever_happens_to_its_host() {
    let app = App::new(&LIVE.replace("waiting = 1", "waiting = 1024").replace("concurrency = 1\n", "")).await;
    let client = app.client().await;
    for round in 0..4 {
        let host = app.host().await;
        click(&client, round * 500..round * 500 + 500).await;
        host.kill().await;
    }
    let host = app.host().await;
    click(&client, 2_000..2_001).await;
    let last = async { while !counted(&app.result().await).contains(&2_000) {} };
    tokio::time::timeout(PATIENCE, last).await.expect("the last one is handled");
    let outcome = app.result().await;
    let counted = counted(&outcome);
    assert_eq!(counted.iter().collect::<BTreeSet<_>>().len(), counted.len(), "none is handled twice");
    let state: Value = serde_json::from_slice(&outcome.state[&("count".into(), "k".into())]).unwrap();
    assert_eq!(state["count"], counted.len());
    assert!(host.stop().await);
}
