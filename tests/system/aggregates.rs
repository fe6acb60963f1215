//! Event-sourced aggregates from end to end: real modules, real hosts, a real server.

use std::collections::BTreeMap;

use async_nats::Client;
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use waxwing_engine::{
    entry::{aggregate, state},
    port::{
        Log,
        log::{Entry, NewEntry, Part, commit},
    },
};
use waxwing_event::{Digest, HandlerName, Position, Subject};

use crate::{
    app::{App, Input, PATIENCE, entries},
    asked::answered,
};

const BANK: &str = r#"
[app]
name = "bank"
events = ["account.>", "accounts.>"]

[host]
lease = "1s"

[handlers.account]
module = "account.wasm"
on = ["account.deposit", "account.withdraw"]
request = ["cmd.account.*"]
key = "data.account"
aggregate = "accounts.*"
dedupe = "1h"

[handlers.account.grants]
emit = ["account.refused"]
"#;

fn account() -> HandlerName {
    "account".parse().unwrap()
}

fn order(what: &str, id: String, account: &str, amount: u64) -> Input {
    Input::new(&format!("account.{what}"), id, &json!({ "account": account, "amount": amount }))
}

/// What the events in the log come to, up to where `counts` says: an own fold, that knows no code of the handler's.
fn balances(entries: &[Entry], counts: impl Fn(&Entry) -> bool) -> BTreeMap<String, u64> {
    let mut balances = BTreeMap::new();
    for entry in entries.iter().filter(|entry| counts(entry)) {
        let Some(id) = aggregate::id(&Subject::from_checked("accounts"), &entry.subject) else { continue };
        let data: Value = serde_json::from_slice(&entry.payload).unwrap();
        let (amount, balance) = (data["amount"].as_u64().unwrap(), balances.entry(id).or_insert(0));
        match entry.headers.get("ce-type").unwrap() {
            "deposited" => *balance += amount,
            "withdrawn" => *balance -= amount,
            other => panic!("{other}"),
        }
    }
    balances
}

async fn balance(app: &App, id: &str, how: &[&str]) -> Value {
    let text = app.run(&[&["state", "get", "account", id][..], how].concat()).await;
    serde_json::from_str::<Value>(&text).unwrap()["balance"].clone()
}

async fn ask(client: &Client, id: &str, what: &str, account: &str, amount: u64) -> Value {
    let command = json!({ "account": account, "amount": amount });
    let answer = answered(client, &format!("cmd.account.{what}"), id, &command).await;
    serde_json::from_slice(&answer.payload).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_deposits_that_came_three_times_count_once_at_any_time() {
    let app = App::new(BANK).await;
    let host = app.host().await;
    let deposits: Vec<Input> =
        (0..1000).map(|n| order("deposit", format!("d{n}"), &format!("a{}", n % 100), 10)).collect();
    app.publish(&deposits[..600]).await;
    app.publish(&deposits[..300]).await;
    host.kill().await;
    app.publish(&deposits[600..]).await;
    let host = app.host().await;
    app.publish(&deposits).await;
    let last = app.publish(&deposits[300..]).await;
    app.handled("account", last).await;

    let log = entries(&app.log().await).await;
    let all = balances(&log, |_| true);
    assert_eq!(all.len(), 100);
    assert!(all.values().all(|balance| *balance == 100), "{all:?}");
    for id in ["a0", "a57", "a99"] {
        assert_eq!(balance(&app, id, &[]).await, 100);
    }

    let histories: Vec<&Entry> =
        log.iter().filter(|entry| entry.subject.as_str().starts_with("accounts.")).collect();
    assert_eq!(histories.len(), 1000);
    let middle = histories[500];
    let (position, time) = (middle.position.to_string(), middle.time.to_string());
    let then = balances(&log, |entry| entry.position <= middle.position);
    let at_the_time = balances(&log, |entry| entry.time <= middle.time);
    for id in ["a0", "a57", "a99"] {
        assert_eq!(balance(&app, id, &["--at-seq", &position]).await, then[id]);
        assert_eq!(balance(&app, id, &["--at", &time]).await, at_the_time[id]);
    }
    let before = app.command(&["state", "get", "account", "a0", "--at-seq", "1"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&before.stderr).contains("nothing had happened to `a0` by then"));

    let trail: Vec<Value> =
        serde_json::from_str(&app.run(&["history", "account", "a57", "-o", "json"]).await).unwrap();
    let causes: Vec<&str> = trail.iter().map(|event| event["causationId"].as_str().unwrap()).collect();
    let expected: Vec<String> = (0..10).map(|n| format!("d{}", 57 + 100 * n)).collect();
    assert_eq!(causes, expected);
    assert!(
        trail.iter().all(|event| event["type"] == "deposited" && event["data"] == json!({ "amount": 10 }))
    );
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_at_once_by_two_hosts_lose_no_update_and_who_is_refused_hears_why() {
    let app = App::new(BANK).await;
    let (first, second) = (app.host().await, app.host().await);
    let client = app.client().await;
    ask(&client, "first", "deposit", "a", 100).await;
    let orders: Vec<Input> = (0..20).map(|n| order("withdraw", format!("w{n}"), "a", 3)).collect();
    let ids: Vec<String> = (0..40).map(|n| format!("asked{n}")).collect();
    let asked = join_all(ids.iter().map(|id| ask(&client, id, "withdraw", "a", 3)));
    let (answers, last) = tokio::join!(asked, app.publish(&orders));
    app.handled("account", last).await;

    let refused: Vec<&Value> = answers.iter().filter(|answer| answer.get("refused").is_some()).collect();
    let by_event =
        app.result().await.emitted.iter().filter(|e| e.subject.as_str() == "account.refused").count();
    // 100 is 33 times 3 and 1, and 60 ask for it.
    assert_eq!(refused.len() + by_event, 60 - 33);
    for answer in refused {
        assert_eq!(answer["refused"], json!({ "too-little": { "balance": 1 } }));
    }
    assert_eq!(balances(&entries(&app.log().await).await, |_| true)["a"], 1);
    assert_eq!(ask(&client, "last", "show", "a", 0).await, json!({ "account": "a", "balance": 1 }));
    assert!(first.stop().await && second.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_what_stands_in_the_log_whoever_wrote_it() {
    let app = App::new(BANK).await;
    let host = app.host().await;
    let client = app.client().await;
    ask(&client, "first", "deposit", "a.b c", 5).await;
    // Of the first version, by another program, and the host does not hear of it.
    let old = Input {
        subject: "accounts.a=2Eb=20c".to_owned(),
        id: "x".to_owned(),
        data: json!({ "units": 1 }).to_string().into(),
    };
    let mut headers = old.headers();
    headers = headers
        .iter()
        .map(|(name, value)| (name.to_owned(), if name == "ce-type" { "paid-in" } else { value }.to_owned()))
        .collect();
    let mut entry = NewEntry::new(Subject::from_checked(&old.subject), old.data.clone());
    entry.headers = headers;
    commit(&app.log().await, vec![entry]).await.unwrap();
    let answer =
        async |what, amount| ask(&client, what, what, "a.b c", amount).await["balance"].as_u64().unwrap();
    assert_eq!(answer("show", 0).await, 105);
    assert_eq!(answer("withdraw", 100).await, 5);
    assert_eq!(answer("deposit", 7).await, 12);
    assert!(!app.host_log().contains("interrupted"), "{}", app.host_log());
    assert_eq!(balance(&app, "a.b c", &[]).await, 12);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_module_saved_is_not_believed() {
    let app = App::new(BANK).await;
    let host = app.host().await;
    let last = app.publish(&[order("deposit", "1".to_owned(), "a", 10)]).await;
    app.handled("account", last).await;
    assert!(host.stop().await);
    let bogus = |module| {
        let value = json!({ "balance": 1_000, "deposits": 1 }).to_string();
        state::write(app.layout.state(&account(), "a"), Some(value.into()), Some(module))
    };
    commit(&app.log().await, vec![bogus(Digest([7; 32]))]).await.unwrap();
    let host = app.host().await;
    let last = app.publish(&[order("deposit", "2".to_owned(), "a", 5)]).await;
    app.handled("account", last).await;
    assert_eq!(balance(&app, "a", &[]).await, 15);
    assert!(host.stop().await);

    // Its own it does believe: what stands before it in the log is not read again.
    let own = app.log().await.last(&app.layout.state(&account(), "a")).await.unwrap().unwrap();
    commit(&app.log().await, vec![bogus(state::snapshot_of(&own).unwrap())]).await.unwrap();
    let host = app.host().await;
    let last = app.publish(&[order("deposit", "3".to_owned(), "a", 5)]).await;
    app.handled("account", last).await;
    assert_eq!(balance(&app, "a", &[]).await, 1_005);
    // The past is told by the history alone.
    let now = Timestamp::now().to_string();
    assert_eq!(balance(&app, "a", &["--at", &now]).await, 20);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_aggregate_does_not_know_stops_its_key_and_says_which() {
    let app = App::new(BANK).await;
    let host = app.host().await;
    app.publish(&[Input::new("accounts.a", "x", &json!({ "what": 1 }))]).await;
    let deposits = [order("deposit", "1".to_owned(), "a", 10), order("deposit", "2".to_owned(), "b", 10)];
    let last = app.publish(&deposits).await;
    app.handled("account", last).await;
    let outcome = app.result().await;
    let [letter] = &outcome.dead[..] else { panic!("{:?}", outcome.dead) };
    assert!(
        letter.about.reason.contains("the event `accounts.a` at position")
            && letter.about.reason.contains("knows"),
        "{}",
        letter.about.reason
    );
    assert_eq!(balance(&app, "b", &[]).await, 10);
    let no = app.command(&["state", "get", "account", "a", "--at-seq", "9999"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&no.stderr).contains("the event `accounts.a` at position"));
    let nobody = app.command(&["history", "account", "c"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("nothing has happened to `c`"));
    assert_ne!(letter.about.original.position, Position::NONE);
    assert!(host.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_an_event_is_known_for_its_time_only() {
    let app = App::new(&BANK.replace("dedupe = \"1h\"", "dedupe = \"1s\"")).await;
    let host = app.host().await;
    let twice = vec![order("deposit", "nightly".to_owned(), "a", 10); 2];
    let last = app.publish(&twice).await;
    app.handled("account", last).await;
    assert_eq!(balance(&app, "a", &[]).await, 10);
    let log = app.log().await;
    let seen = app.layout.seen_event(&account(), "*");
    let seen = waxwing_event::Pattern::from_checked(seen.as_str());
    let gone = async {
        while !log.last_of_each(&seen, Part::Headers, 10).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let last = app.publish(&twice).await;
    app.handled("account", last).await;
    assert_eq!(balance(&app, "a", &[]).await, 20);
    assert!(host.stop().await);
}
