//! Commits of several entries: whole, or not at all.

use waxwing_engine::port::log::CommitError;
use waxwing_event::Position;

use super::{
    bed::{Bed, entry, expecting},
    order::pipelined,
};

pub async fn writes_a_batch_side_by_side(bed: Bed) {
    bed.put("a.b", "0").await;
    let last = bed.commit((1..=5).map(|n| entry("a.b", &n.to_string())).collect()).await.unwrap();
    assert_eq!(last, Position(6));
    assert_eq!(bed.payloads(6).await, ["0", "1", "2", "3", "4", "5"]);
}

pub async fn a_refused_batch_leaves_nothing(bed: Bed) {
    bed.put("a.b", "0").await;
    let batch = vec![entry("a.c", "1"), expecting("a.b", "2", None, Position::NONE), entry("a.d", "3")];
    assert!(matches!(bed.commit(batch).await, Err(CommitError::Refused(_))));
    assert_eq!(bed.end().await, Position(1));
    assert_eq!((bed.last("a.c").await, bed.last("a.d").await), (None, None));
    // What was refused is not in the way of what comes.
    assert_eq!(bed.put("a.c", "4").await, Position(2));
}

pub async fn takes_a_thousand_entries(bed: Bed) {
    let last = bed.commit((0..1000).map(|n| entry(&format!("a.{n}"), "x")).collect()).await.unwrap();
    assert_eq!(last, Position(1000));
    assert_eq!(bed.last("a.999").await.unwrap().position, Position(1000));
}

pub async fn batches_and_singles_keep_their_word_together(bed: Bed) {
    let commits = (0..40).map(|n| {
        let count = if n % 2 == 0 { 1 } else { 5 };
        (0..count).map(|i| entry("a.b", &format!("{n}.{i}"))).collect()
    });
    let ends = pipelined(&bed, commits).await;
    let payloads = bed.payloads(20 + 20 * 5).await;
    for (n, end) in ends.into_iter().enumerate() {
        let (count, last) = (if n % 2 == 0 { 1 } else { 5 }, usize::try_from(end.unwrap().last.0).unwrap());
        let want: Vec<String> = (0..count).map(|i| format!("{n}.{i}")).collect();
        assert_eq!(payloads[last - count..last], want);
    }
}
