//! Streams with three replicas outside, whose leaders change.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    Client,
    jetstream::{self, consumer::pull, stream},
};
use futures::StreamExt;
use waxwing_engine::gauges::Gauges;
use waxwing_event::{Event, StreamName};
use waxwing_log::JetStreamOutside;

use super::{
    stage::{PATIENCE, Stage, patterns, put, spec},
    target::event,
};
use crate::{
    app::Backing,
    cluster::{Cluster, Sync},
};

async fn client(cluster: &Cluster) -> Client {
    async_nats::connect(cluster.address().urls).await.unwrap()
}

async fn make(client: &Client, name: &str, subjects: &[&str]) {
    let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    let name = name.to_owned();
    let config = stream::Config { name, subjects, num_replicas: 3, ..stream::Config::default() };
    jetstream::new(client.clone()).create_stream(config).await.unwrap();
}

/// Makes another server the stream's leader. While there is none, nobody answers.
async fn step_down(client: &Client, name: &str) {
    let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{name}");
    let stepped = async {
        loop {
            let asked = client.request(subject.clone(), "".into());
            let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
            if answer
                .is_ok_and(|answer| answer.is_ok_and(|answer| answer.payload.ends_with(b"\"success\":true}")))
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, stepped).await.expect("the leader steps down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_stays_itself_whoever_leads_it() {
    let cluster = Cluster::three(Sync::Lazy).await;
    let client = client(&cluster).await;
    make(&client, "FOREIGN", &["f.>"]).await;
    let outside = JetStreamOutside::connect(&cluster.address()).await.unwrap().into_port();
    let name: StreamName = "FOREIGN".parse().unwrap();
    let made = outside.streams.open(&name).await.ok().unwrap().made;
    for _ in 0..4 {
        step_down(&client, "FOREIGN").await;
        let opened = async {
            loop {
                if let Ok(opened) = outside.streams.open(&name).await {
                    return opened.made;
                }
            }
        };
        assert_eq!(tokio::time::timeout(PATIENCE, opened).await.unwrap(), made);
    }
}

/// Relays `count` events into a stream whose leader changes meanwhile; gives what it has at the end.
async fn relayed(cluster: &Cluster, name: &str, in_flight: u32, count: u64) -> Vec<Event> {
    let client = client(cluster).await;
    let subject = format!("{name}.counted");
    make(&client, name, &[&subject]).await;
    let mut stage = Stage::new();
    stage.elsewhere = Some(JetStreamOutside::connect(&cluster.address()).await.unwrap().into_port());
    let mut spec = spec("count");
    spec.grants.publish = patterns(&[&subject]);
    spec.outbox.in_flight = in_flight.try_into().unwrap();
    let engine = stage.start_to("a", vec![spec], &subject).await;
    for n in 0..count {
        put(&stage.log, "k", n, "emit").await;
        if n % (count / 4) == count / 8 {
            step_down(&client, name).await;
        }
    }
    let gauges = engine.gauges()[0].1.first().clone();
    let out = async {
        while Gauges::read(&gauges.outbox_out) < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, out).await.expect("all events go out");
    let context = jetstream::new(client);
    let read = async {
        let stream = context.get_stream(name).await.unwrap();
        let consumer = stream.create_consumer(pull::OrderedConfig::default()).await.unwrap();
        let messages = consumer.messages().await.unwrap().take(usize::try_from(count).unwrap());
        messages.map(|message| event(&message.unwrap().message)).collect::<Vec<_>>().await
    };
    let events = tokio::time::timeout(PATIENCE, read).await.expect("all events arrive");
    engine.drain(Duration::from_secs(10)).await;
    let all = context.get_stream(name).await.unwrap().cached_info().state.messages;
    assert_eq!(all, count, "each event is there once");
    events
}

fn causes(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(|event| event.causation_id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_once_though_the_leader_changes_and_one_by_one_in_order() {
    let cluster = Cluster::three(Sync::Lazy).await;
    let many = causes(&relayed(&cluster, "many", 64, 2_000).await);
    assert_eq!(many.iter().collect::<BTreeSet<_>>().len(), 2_000);
    let one = causes(&relayed(&cluster, "one", 1, 400).await);
    assert_eq!(one, (0..400).map(|n| format!("k-{n}")).collect::<Vec<_>>());
}
