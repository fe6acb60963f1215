//! A handler divided into partitions: hosts share its keys, each key keeps its order, and their number changes while
//! events flow.

use std::collections::BTreeSet;

use async_nats::Client;
use serde_json::{Value, json};
use tokio::time::timeout;
use waxwing_engine::{entry::tombstone, port::log::Part};
use waxwing_event::Position;

use crate::{
    app::{self, App, HostProcess, Input, Outcome, PATIENCE},
    timers,
};

/// So many partitions that two hosts have some of them each, whatever their names are.
fn manifest(key: &str) -> String {
    format!(
        "[app]\nname = \"divided\"\nevents = [\"in.>\", \"counter.>\"]\n[host]\nlease = \"1s\"\n\
         [handlers.count]\nmodule = \"counter.wasm\"\non = [\"in.>\"]\nrequest = [\"cmd.count.*\"]\nkey = \"{key}\"\n\
         partitions = 16\n[handlers.count.grants]\nemit = [\"counter.counted\"]\n"
    )
}

fn inputs(from: u64, many: u64, keys: u64) -> Vec<Input> {
    let input = |n: u64| {
        Input::new("in.item", format!("in-{n}"), &json!({ "key": format!("k{}", n % keys), "n": n }))
    };
    (from..from + many).map(input).collect()
}

/// A host that wishes for so many partitions when it starts.
async fn host_with(app: &App, handler: &str, partitions: u32) -> HostProcess {
    let name = format!("WAXWING_HANDLERS_{}_PARTITIONS", handler.to_uppercase());
    let mut host = app.launch_with(&[], &[(&name, &partitions.to_string())]);
    host.ready().await;
    host
}

/// What `waxwing ls` says of the app's one handler.
async fn listed(app: &App) -> Value {
    let rows: Value = serde_json::from_str(&app.run(&["ls", "--output", "json"]).await).unwrap();
    rows[0].clone()
}

/// Waits until each of so many partitions has an owner, and at least so many hosts share them.
async fn settled(app: &App, partitions: usize, hosts: usize) {
    let wait = async {
        loop {
            let row = listed(app).await;
            let parts = row["partitions"].as_array().cloned().unwrap_or_else(|| vec![row.clone()]);
            let owners: Vec<&str> = parts.iter().filter_map(|part| part["host"].as_str()).collect();
            let different: BTreeSet<&&str> = owners.iter().collect();
            if parts.len() == partitions && owners.len() == partitions && different.len() >= hosts {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{}\n{}", listed(app).await, app.host_log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_share_the_keys_and_lose_nothing_when_they_die_and_when_the_number_changes() {
    let manifest = manifest("data.key");
    let app = App::new(&manifest).await;
    let mut hosts = vec![app.host().await, app.host().await, app.host().await];
    let all = inputs(0, 5_000, 50);
    let mut parts = all.chunks(1_000);
    let mut publish = async || app.publish(parts.next().unwrap()).await;
    publish().await;
    hosts.remove(0).kill().await;
    publish().await;
    hosts.push(host_with(&app, "count", 7).await);
    publish().await;
    hosts.push(host_with(&app, "count", 2).await);
    publish().await;
    assert!(hosts.remove(0).stop().await);
    let last = publish().await;
    app.handled("count", last).await;
    settled(&app, 2, 1).await;
    hosts.push(host_with(&app, "count", 1).await);
    settled(&app, 1, 1).await;
    app.handled("count", last).await;
    app.result().await.assert_same(&app::undisturbed(&manifest, &["count"], &all).await);
    for host in hosts {
        assert!(host.stop().await, "{}", app.host_log());
    }
}

/// Each event is a key of its own; the state's keys are two.
async fn counted_by_two_hosts(mode: &str) -> Outcome {
    let manifest = format!("{}settings = {{ mode = \"{mode}\" }}\n", manifest("ce.id"));
    let app = App::new(&manifest).await;
    let hosts = [app.host().await, app.host().await];
    settled(&app, 16, 2).await;
    let [one, other] = hosts;
    app.publish(&inputs(0, 200, 2)).await;
    other.kill().await;
    let last = app.publish(&inputs(200, 200, 2)).await;
    app.handled("count", last).await;
    assert!(one.stop().await, "{}", app.host_log());
    app.result().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_partitions_share_loses_no_update_where_it_is_all_that_is_written() {
    let result = counted_by_two_hosts("state").await;
    let counts: Vec<u64> = ["k0", "k1"]
        .iter()
        .map(|key| {
            serde_json::from_slice::<Value>(&result.state[&("count".to_owned(), (*key).to_owned())]).unwrap()
        })
        .map(|value| value["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [200, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_partitions_share_loses_no_update() {
    let result = counted_by_two_hosts("both").await;
    let mut counts: Vec<(String, u64)> = Vec::new();
    for event in &result.emitted {
        let said: Value = serde_json::from_slice(&event.data).unwrap();
        counts.push((said["key"].as_str().unwrap().to_owned(), said["count"].as_u64().unwrap()));
    }
    counts.sort();
    let each = |key: &'static str| (1..=200).map(move |count| (key.to_owned(), count));
    assert_eq!(counts, each("k0").chain(each("k1")).collect::<Vec<_>>());
}

async fn ask(client: &Client, key: &str) -> Value {
    let asked = async {
        loop {
            let payload = json!({ "key": key, "n": 0 }).to_string();
            let answer = client.request("cmd.count.show", payload.into()).await.unwrap();
            // While a partition moves it is said at once that nobody has it.
            if answer.headers.is_none_or(|headers| headers.get("Nats-Service-Error-Code").is_none()) {
                return serde_json::from_slice(&answer.payload).unwrap();
            }
        }
    };
    timeout(PATIENCE, asked).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_to_the_partition_of_their_key() {
    let app = App::new(&manifest("data.key")).await;
    let hosts = [app.host().await, app.host().await];
    settled(&app, 16, 2).await;
    let last = app.publish(&inputs(0, 90, 30)).await;
    app.handled("count", last).await;
    let client = app.client().await;
    for key in 0..30 {
        assert_eq!(ask(&client, &format!("k{key}")).await["count"], 3, "k{key}");
    }
    let another = host_with(&app, "count", 3).await;
    for key in 0..30 {
        assert_eq!(ask(&client, &format!("k{key}")).await["count"], 3, "k{key}");
    }
    for host in hosts.into_iter().chain([another]) {
        assert!(host.stop().await, "{}", app.host_log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_go_with_their_keys_into_other_partitions() {
    const ALL: u64 = 60;
    let app = App::new(timers::MANIFEST).await;
    let three = host_with(&app, "alarm", 3).await;
    let wish = |n: u64| {
        let data = json!({ "id": format!("t {n}"), "after_ms": 1_000 + n * 20 });
        Input::new("wishes.made", format!("set-{n}"), &data)
    };
    let last = app.publish(&(0..ALL).map(wish).collect::<Vec<_>>()).await;
    app.handled("alarm", last).await;
    three.kill().await;
    let two = host_with(&app, "alarm", 2).await;
    let fired = async {
        while (app.result().await.emitted.len() as u64) < ALL {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, fired).await.is_ok(), "{}", app.host_log());
    assert!(two.stop().await, "{}", app.host_log());
    let result = app.result().await;
    let ids: BTreeSet<String> = result
        .emitted
        .iter()
        .map(|event| serde_json::from_slice::<Value>(&event.data).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((ids.len() as u64, result.emitted.len() as u64), (ALL, ALL));
    let set = app.layout.timers(Some(&"alarm".parse().unwrap()));
    let left = app.log().await;
    let left = waxwing_engine::port::Log::last_of_each(&left, &set, Part::Headers, 1_000).await.unwrap();
    assert!(left.iter().all(tombstone::is));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_partitions_do_not_allow_is_said() {
    let app = App::new(&manifest("data.key")).await;
    let host = app.host().await;
    let last = app.publish(&inputs(0, 10, 5)).await;
    app.handled("count", last).await;
    let refused = app.command(&["rebuild", "count"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("has 16 partitions"), "{said}");
    assert!(said.contains("set `partitions` to 1"), "{said}");
    assert!(last > Position::NONE && host.stop().await);
}
