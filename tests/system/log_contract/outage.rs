//! A server that dies and comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use waxwing_engine::port::{
    Log,
    log::{CommitError, Part, ReadError, commit},
};
use waxwing_event::Position;
use waxwing_log::{JetStreamLog, jetstream::Server};

use super::bed::{TestReader, entry, in_time, options, text};
use crate::{proxy::Proxied, server::TestServer};

async fn opened() -> (TestServer, Arc<JetStreamLog>) {
    let server = TestServer::start().await;
    let log = JetStreamLog::open(&server.address(), &options()).await.unwrap();
    (server, Arc::new(log))
}

/// Commits number after number until told to stop; gives those that were acknowledged, with their
/// positions, and checks that the others ended as they must.
async fn write_until(stop: Arc<AtomicBool>, log: Arc<JetStreamLog>) -> Vec<(u64, Position)> {
    let mut taken = Vec::new();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match in_time(commit(log.as_ref(), vec![entry("a.b", &number.to_string())])).await {
            Ok(committed) => taken.push((number, committed.last)),
            Err(CommitError::Unknown(_) | CommitError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

#[tokio::test]
async fn a_reader_goes_on_without_loss_or_doubling_after_a_crash() {
    let (mut server, log) = opened().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8).map(|_| tokio::spawn(write_until(stop.clone(), log.clone()))).collect();
    let mut reader = TestReader(log.read(Position(1), &[], Part::Whole).await.unwrap());
    let mut read = reader.take(500).await;
    for _ in 0..2 {
        server.process.kill_hard().await.unwrap();
        server.process.restart().await.unwrap();
        read.extend(reader.take(500).await);
    }
    stop.store(true, Ordering::Relaxed);
    let mut taken = Vec::new();
    for writer in writers {
        taken.extend(writer.await.unwrap());
    }
    let end = in_time(log.bounds()).await.unwrap().last;
    read.extend(reader.take(usize::try_from(end.0).unwrap() - read.len()).await);
    let positions: Vec<u64> = read.iter().map(|e| e.position.0).collect();
    assert_eq!(positions, (1..=end.0).collect::<Vec<_>>());
    for (number, position) in taken {
        assert_eq!(text(&read[usize::try_from(position.0).unwrap() - 1]), number.to_string());
    }
}

/// The last thing that comes tells no gap: nothing comes behind it.
#[tokio::test]
async fn a_reader_gets_what_was_lost_on_its_way_and_nothing_follows() {
    let Proxied { server, proxy } = Proxied::start().await;
    let log = JetStreamLog::open(&Server::at(proxy.url()), &options()).await.unwrap();
    let mut reader = TestReader(log.read(Position(1), &[], Part::Whole).await.unwrap());
    let put = async |number: &str| commit(&log, vec![entry("a.b", number)]).await.unwrap();
    put("1").await;
    assert_eq!(reader.take(1).await.iter().map(text).collect::<Vec<_>>(), ["1"]);
    proxy.lose(3);
    for number in ["2", "3", "4"] {
        put(number).await;
    }
    assert_eq!(reader.take(3).await.iter().map(text).collect::<Vec<_>>(), ["2", "3", "4"]);
    assert_eq!(proxy.to_lose(), 0);
    drop(server);
}

/// A consumer of which its server is heard and which delivers nothing.
#[tokio::test]
async fn a_reader_leaves_a_consumer_that_does_not_deliver_what_is_there() {
    let (server, log) = opened().await;
    let mut reader = TestReader(log.read(Position(1), &[], Part::Whole).await.unwrap());
    commit(log.as_ref(), vec![entry("a.b", "1")]).await.unwrap();
    reader.take(1).await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    let call = async |subject: String, body: Value| -> Value {
        let answer = client.request(subject, body.to_string().into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    };
    let known = call("$JS.API.CONSUMER.NAMES.wx-test".to_owned(), json!({})).await;
    let name = known["consumers"][0].as_str().unwrap();
    let in_an_hour = jiff::Timestamp::now() + Duration::from_secs(3600);
    let paused =
        call(format!("$JS.API.CONSUMER.PAUSE.wx-test.{name}"), json!({ "pause_until": in_an_hour })).await;
    assert_eq!(paused["paused"], true, "{paused}");
    commit(log.as_ref(), vec![entry("a.b", "2")]).await.unwrap();
    assert_eq!(reader.take(1).await.iter().map(text).collect::<Vec<_>>(), ["2"]);
}

/// Stops a server's time: it keeps its connections and answers nothing.
fn freeze(server: &TestServer) {
    let id = server.process.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown() {
    let (server, log) = opened().await;
    freeze(&server);
    let end = in_time(commit(log.as_ref(), vec![entry("a.b", "1")])).await;
    assert!(matches!(end, Err(CommitError::Unknown(_))), "{end:?}");
}

#[tokio::test]
async fn commits_in_flight_end_at_once_when_the_server_dies() {
    let (mut server, log) = opened().await;
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    freeze(&server);
    for n in 0..100 {
        let batch = vec![entry("a.b", "1"), entry("a.b", "2")];
        let entries = if n % 2 == 0 { batch } else { vec![entry("a.b", "single")] };
        let ends = ends.clone();
        log.commit(entries, Box::new(move |end| ends.send(end).unwrap()));
    }
    assert!(ended.try_recv().is_err());
    server.process.kill_hard().await.unwrap();
    let killed = std::time::Instant::now();
    for _ in 0..100 {
        let end = in_time(ended.recv()).await.unwrap();
        assert!(matches!(end, Err(CommitError::Unknown(_) | CommitError::Unavailable(_))), "{end:?}");
    }
    assert!(killed.elapsed() < Duration::from_secs(4), "{:?}", killed.elapsed());
    let away = in_time(commit(log.as_ref(), vec![entry("a.b", "away")])).await;
    assert!(matches!(away, Err(CommitError::Unavailable(_))), "{away:?}");
    server.process.restart().await.unwrap();
    in_time(async {
        while commit(log.as_ref(), vec![entry("a.b", "back")]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(text(&in_time(log.last(&"a.b".parse().unwrap())).await.unwrap().unwrap()), "back");
}

#[tokio::test]
async fn a_reader_says_when_the_stream_is_gone() {
    let (server, log) = opened().await;
    commit(log.as_ref(), vec![entry("a.b", "1")]).await.unwrap();
    let mut reader = TestReader(log.read(Position(1), &[], Part::Whole).await.unwrap());
    reader.take(1).await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    client.request("$JS.API.STREAM.DELETE.wx-test", "".into()).await.unwrap();
    let end = in_time(reader.0.next(1)).await;
    assert!(matches!(end, Err(ReadError::Broken(_))), "{end:?}");
    let end = in_time(commit(log.as_ref(), vec![entry("a.b", "2")])).await;
    assert!(matches!(end, Err(CommitError::Unavailable(_))), "{end:?}");
}

#[tokio::test]
async fn a_reader_says_when_the_stream_has_lost_entries() {
    reads_two_of_a_stream_that_is_made_anew_with(1).await;
}

#[tokio::test]
async fn a_reader_says_when_other_entries_have_taken_the_place_of_lost_ones() {
    reads_two_of_a_stream_that_is_made_anew_with(3).await;
}

async fn reads_two_of_a_stream_that_is_made_anew_with(entries: usize) {
    let (server, log) = opened().await;
    commit(log.as_ref(), vec![entry("a.b", "1"), entry("a.b", "2")]).await.unwrap();
    let mut reader = TestReader(log.read(Position(1), &[], Part::Whole).await.unwrap());
    reader.take(2).await;
    let client = async_nats::connect(server.process.url()).await.unwrap();
    client.request("$JS.API.STREAM.DELETE.wx-test", "".into()).await.unwrap();
    let again = JetStreamLog::open(&server.address(), &options()).await.unwrap();
    commit(&again, vec![entry("a.b", "1"); entries]).await.unwrap();
    let end = in_time(reader.0.next(1)).await;
    assert!(matches!(end, Err(ReadError::Broken(_))), "{end:?}");
}

#[tokio::test]
async fn a_dropped_log_ends_what_is_in_flight() {
    let (_server, log) = opened().await;
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..100 {
        let ends = ends.clone();
        let entries = vec![entry("a.b", &n.to_string())];
        log.commit(entries, Box::new(move |end| ends.send(end).unwrap()));
    }
    drop((log, ends));
    let mut count = 0;
    while let Some(end) = in_time(ended.recv()).await {
        end.unwrap();
        count += 1;
    }
    assert_eq!(count, 100);
}
