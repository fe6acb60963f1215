//! How long entries stay.

use std::time::Duration;

use waxwing_engine::port::log::{Bounds, CommitError, Keep, NewEntry, Part};
use waxwing_event::Position;

use super::bed::{Bed, entry, expecting, text};

const SECOND: Duration = Duration::from_secs(1);

fn rollup(entry: NewEntry) -> NewEntry {
    NewEntry { rollup: true, keep: Keep::Forever, ..entry }
}

pub async fn a_rollup_replaces_what_was_before(bed: Bed) {
    bed.put("a.b", "1").await;
    bed.put("a.c", "other").await;
    bed.put("a.b", "2").await;
    bed.commit(vec![rollup(entry("a.b", "3"))]).await.unwrap();
    assert_eq!(bed.payloads(2).await, ["other", "3"]);
    assert_eq!(bed.log.bounds().await.unwrap(), Bounds { first: Position(2), last: Position(4) });
    assert_eq!(bed.last("a.b").await.map(|e| text(&e)), Some("3".to_owned()));
}

pub async fn a_rollup_in_a_batch_replaces_under_an_expectation(bed: Bed) {
    let one = bed
        .commit(vec![rollup(expecting("a.s", "1", None, Position::NONE)), entry("a.e", "x")])
        .await
        .unwrap();
    assert_eq!(one, Position(2));
    let wrong = vec![entry("a.e", "y"), rollup(expecting("a.s", "2", None, Position(2)))];
    assert!(matches!(bed.commit(wrong).await, Err(CommitError::Refused(_))));
    assert_eq!(bed.last("a.s").await.map(|e| text(&e)), Some("1".to_owned()));
    let right = vec![entry("a.e", "y"), rollup(expecting("a.s", "2", None, Position(1)))];
    bed.commit(right).await.unwrap();
    assert_eq!(bed.payloads(3).await, ["x", "y", "2"]);
}

pub async fn an_entry_expires_after_its_time(bed: Bed) {
    let brief = NewEntry { keep: Keep::For(SECOND), ..entry("a.brief", "1") };
    bed.commit(vec![brief]).await.unwrap();
    bed.commit(vec![NewEntry { keep: Keep::Forever, ..entry("a.ever", "2") }]).await.unwrap();
    bed.put("a.plain", "3").await;
    assert!(bed.last("a.brief").await.is_some());
    bed.expire("a.brief", SECOND).await;
    assert_eq!(bed.payloads(2).await, ["2", "3"]);
    assert_eq!(bed.end().await, Position(3));
    let all = bed.log.last_of_each(&"a.*".parse().unwrap(), Part::Whole, 10).await.unwrap();
    assert_eq!(all.iter().map(|e| e.subject.as_str()).collect::<Vec<_>>(), ["a.ever", "a.plain"]);
}

pub async fn an_expired_lease_is_none(bed: Bed) {
    let lease = |last| NewEntry { keep: Keep::For(SECOND), ..expecting("wx.test.lease", "me", None, last) };
    let mine = bed.commit(vec![lease(Position::NONE)]).await.unwrap();
    bed.expire("wx.test.lease", SECOND).await;
    let fenced = |last| vec![expecting("a.b", "1", Some("wx.test.lease"), last)];
    assert!(matches!(bed.commit(fenced(mine)).await, Err(CommitError::Refused(_))));
    assert!(matches!(bed.commit(vec![lease(mine)]).await, Err(CommitError::Refused(_))));
    bed.commit(fenced(Position::NONE)).await.unwrap();
    let again = bed.commit(vec![lease(Position::NONE)]).await.unwrap();
    bed.commit(fenced(again)).await.unwrap();
}
