//! Entries whose headers the client cannot read: anybody can publish one, nobody must be stopped by it.

use bytes::Bytes;
use waxwing_engine::port::{
    Log,
    log::{Entry, Part, commit},
};
use waxwing_event::{Pattern, Position};
use waxwing_log::JetStreamLog;

use super::bed::{TestReader, entry, in_time, options, text};
use crate::{raw::RawPublisher, server::TestServer};

/// Header blocks that end a connection, or the client for good (the one with a lone carriage return).
const BLOCKS: [&[u8]; 3] = [
    b"NATS/1.0\r\nname: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\nno colon here\r\n\r\n",
    b"NATS/1.0\r\na: b\rc\r\n\r\n",
];

async fn put(log: &JetStreamLog, payload: &str) -> Position {
    commit(log, vec![entry("a.b", payload)]).await.unwrap().last
}

async fn reader(log: &JetStreamLog, part: Part) -> TestReader {
    TestReader(log.read(Position(1), &[], part).await.unwrap())
}

/// The stream is expected to hold good, broken ×3, good, broken ×3, good.
fn check(entries: &[Entry], part: Part) {
    let broken: Vec<Option<Bytes>> = entries.iter().map(|e| e.headers.broken().cloned()).collect();
    let bad = |block: &&[u8]| Some(Bytes::copy_from_slice(block));
    let mut want = vec![None];
    want.extend(BLOCKS.iter().map(bad));
    want.push(None);
    want.extend(BLOCKS.iter().map(bad));
    want.push(None);
    assert_eq!(broken, want);
    let positions: Vec<u64> = entries.iter().map(|e| e.position.0).collect();
    assert_eq!(positions, (1..=9).collect::<Vec<_>>());
    assert!(entries.iter().all(|e| e.payload.is_empty() == (part == Part::Headers)));
}

#[tokio::test]
async fn broken_entries_are_read_as_such_while_commits_go_on() {
    let server = TestServer::start().await;
    let log = JetStreamLog::open(&server.address(), &options()).await.unwrap();
    let mut running = reader(&log, Part::Whole).await;
    let mut head = reader(&log, Part::Headers).await;
    put(&log, "1").await;
    assert_eq!(text(&running.take(1).await[0]), "1");
    let (mut whole, mut heads) = (Vec::new(), Vec::new());
    let mut raw = RawPublisher::connect(server.process.port()).await;
    let writes = async {
        for _ in 0..2 {
            for block in BLOCKS {
                raw.publish("a.raw", block, b"raw").await;
            }
            put(&log, "between").await;
        }
    };
    tokio::join!(writes, async { whole = running.take(8).await }, async { heads = head.take(9).await });
    let mut all = reader(&log, Part::Whole).await.take(9).await;
    check(&all, Part::Whole);
    check(&heads, Part::Headers);
    assert_eq!(whole, all.split_off(1));
}

#[tokio::test]
async fn single_reads_give_broken_entries() {
    let server = TestServer::start().await;
    let log = JetStreamLog::open(&server.address(), &options()).await.unwrap();
    RawPublisher::connect(server.process.port()).await.publish("a.raw", BLOCKS[0], b"raw").await;
    let last = in_time(log.last(&"a.raw".parse().unwrap())).await.unwrap().unwrap();
    assert_eq!(last.headers.broken().map(|b| &b[..]), Some(BLOCKS[0]));
    let all: Pattern = ">".parse().unwrap();
    let each = in_time(log.last_of_each(&all, Part::Whole, 10)).await.unwrap();
    assert_eq!((each.len(), &each[0].payload[..]), (1, &b"raw"[..]));
    put(&log, "after").await;
}
