//! Removing entries that nobody will ask for again.

use waxwing_engine::port::log::Part;
use waxwing_event::Position;

use super::bed::{Bed, pattern, text};

pub async fn removes_what_matches_up_to_a_position(bed: Bed) {
    for n in 0..6 {
        bed.put(&format!("a.{}", n % 2), &n.to_string()).await;
    }
    bed.log.remove(&pattern("a.1"), Position(4)).await.unwrap();
    assert_eq!(bed.payloads(4).await, ["0", "2", "4", "5"]);
    assert_eq!(bed.last("a.1").await.map(|entry| entry.position), Some(Position(6)));
    bed.log.remove(&pattern("a.*"), Position(6)).await.unwrap();
    assert_eq!(bed.last("a.0").await, None);
}

pub async fn a_removal_changes_no_position(bed: Bed) {
    bed.put("a.1", "x").await;
    bed.log.remove(&pattern("a.>"), Position(9)).await.unwrap();
    assert_eq!(bed.end().await, Position(1));
    assert_eq!(bed.put("a.1", "y").await, Position(2));
    bed.log.remove(&pattern("a.>"), Position(1)).await.unwrap();
    assert_eq!(bed.payloads(1).await, ["y"]);
}

pub async fn a_reader_goes_on_behind_what_was_removed(bed: Bed) {
    bed.put("a.1", "1").await;
    let mut reader = bed.reader(1, &["a.>"], Part::Whole).await;
    assert_eq!(text(&reader.take(1).await[0]), "1");
    bed.put("a.2", "2").await;
    let end = bed.end().await;
    bed.log.remove(&pattern("a.>"), end).await.unwrap();
    bed.put("a.3", "3").await;
    let mut fresh = bed.reader(1, &["a.>"], Part::Whole).await;
    assert_eq!(text(&fresh.take(1).await[0]), "3");
    // The one that reads on may have had the removed one on its way.
    while text(&reader.take(1).await[0]) != "3" {}
}
