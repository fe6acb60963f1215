//! One order of entries, and what comes back of each.

use std::sync::{Arc, Mutex};

use waxwing_engine::port::log::{Bounds, CommitError, Committed, NewEntry, Part};
use waxwing_event::{Headers, Position};

use super::bed::{Bed, entry, in_time};

pub async fn gives_entries_back_as_written(bed: Bed) {
    let headers: Headers =
        [("ce-id", "1"), ("ce-type", "it: is"), ("x", "ä"), ("x", "2")].into_iter().collect();
    let new = NewEntry { headers: headers.clone(), ..entry("a.b", "payload") };
    let position = bed.commit(vec![new]).await.unwrap();
    assert_eq!(position, Position(1));
    let read = bed.reader(1, &[], Part::Whole).await.take(1).await.remove(0);
    assert_eq!((read.position, read.subject.as_str()), (Position(1), "a.b"));
    assert_eq!((&read.payload[..], sorted(&read.headers)), (&b"payload"[..], sorted(&headers)));
    assert_eq!(bed.last("a.b").await, Some(read));
}

fn sorted(headers: &Headers) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    pairs.sort();
    pairs
}

pub async fn an_empty_log_has_nothing_between_its_bounds(bed: Bed) {
    assert_eq!(bed.log.bounds().await.unwrap(), Bounds { first: Position(1), last: Position(0) });
    bed.put("a.b", "1").await;
    assert_eq!(bed.log.bounds().await.unwrap(), Bounds { first: Position(1), last: Position(1) });
}

pub async fn writes_singles_in_the_order_of_their_calls(bed: Bed) {
    let ends = pipelined(&bed, (0..1000).map(|n| vec![entry("a.b", &n.to_string())])).await;
    let positions: Vec<u64> = ends.into_iter().map(|end| end.unwrap().last.0).collect();
    assert_eq!(positions, (1..=1000).collect::<Vec<_>>());
    assert_eq!(bed.payloads(1000).await, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
}

pub async fn two_writers_share_one_order(bed: Bed) {
    let (left, right) = tokio::join!(
        pipelined(&bed, (0..200).map(|n| vec![entry("a.left", &n.to_string())])),
        pipelined(&bed, (0..200).map(|n| vec![entry("a.right", &n.to_string())])),
    );
    let mut positions: Vec<u64> = left.into_iter().chain(right).map(|end| end.unwrap().last.0).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=400).collect::<Vec<_>>());
}

/// Hands all commits over without a wait, and gives their ends in the order of the calls.
pub async fn pipelined(
    bed: &Bed,
    commits: impl Iterator<Item = Vec<NewEntry>>,
) -> Vec<Result<Committed, CommitError>> {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let (all_told, told) = tokio::sync::oneshot::channel();
    // Each `done` holds a share of the sender; when the last is gone, all have been called.
    let all_told = Arc::new(all_told);
    for (number, entries) in commits.enumerate() {
        let (ends, all_told) = (ends.clone(), all_told.clone());
        let done = move |end| {
            ends.lock().unwrap().push((number, end));
            drop(all_told);
        };
        bed.log.commit(entries, Box::new(done));
    }
    drop::<Arc<tokio::sync::oneshot::Sender<()>>>(all_told);
    assert!(in_time(told).await.is_err());
    let mut ends = std::mem::take(&mut *ends.lock().unwrap());
    ends.sort_by_key(|(number, _)| *number);
    ends.into_iter().map(|(_, end)| end).collect()
}
