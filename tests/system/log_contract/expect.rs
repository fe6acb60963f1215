//! Expectations: of the entry's own subject, and of another, the fence.

use waxwing_engine::port::log::CommitError;
use waxwing_event::Position;

use super::{
    bed::{Bed, entry, expecting},
    order::pipelined,
};

const LEASE: &str = "wx.test.lease.h.0";

fn refused<T>(end: Result<T, CommitError>) -> bool {
    matches!(end, Err(CommitError::Refused(_)))
}

pub async fn an_own_expectation_holds_or_refuses(bed: Bed) {
    let one = bed.commit(vec![expecting("a.b", "1", None, Position::NONE)]).await.unwrap();
    bed.put("a.c", "other").await;
    assert!(refused(bed.commit(vec![expecting("a.b", "2", None, Position::NONE)]).await));
    assert!(refused(bed.commit(vec![expecting("a.b", "2", None, Position(2))]).await));
    let two = bed.commit(vec![expecting("a.b", "2", None, one)]).await.unwrap();
    assert!(refused(bed.commit(vec![expecting("a.b", "3", None, one)]).await));
    assert_eq!((two, bed.end().await), (Position(3), Position(3)));
    // Named, it is the same.
    bed.commit(vec![expecting("a.b", "3", Some("a.b"), two)]).await.unwrap();
}

pub async fn a_fence_on_another_subject_guards_a_single(bed: Bed) {
    assert!(refused(bed.commit(vec![expecting("a.b", "1", Some(LEASE), Position(1))]).await));
    bed.commit(vec![expecting("a.b", "1", Some(LEASE), Position::NONE)]).await.unwrap();
    let lease = bed.put(LEASE, "me").await;
    bed.commit(vec![expecting("a.b", "2", Some(LEASE), lease)]).await.unwrap();
    assert!(refused(bed.commit(vec![expecting("a.b", "3", Some(LEASE), Position::NONE)]).await));
    assert_eq!(bed.end().await, Position(3));
}

pub async fn a_fence_on_another_subject_guards_a_batch(bed: Bed) {
    let lease = bed.put(LEASE, "me").await;
    let batch = |last| vec![expecting("a.b", "1", Some(LEASE), last), entry("a.c", "2")];
    bed.commit(batch(lease)).await.unwrap();
    assert!(refused(bed.commit(batch(Position(2))).await));
    assert_eq!(bed.end().await, Position(3));
}

pub async fn fence_and_own_expectations_go_into_one_batch(bed: Bed) {
    let lease = bed.put(LEASE, "me").await;
    let batch = |state: Position| {
        vec![
            expecting("a.b", "1", Some(LEASE), lease),
            expecting("wx.test.state.h.k", "2", None, state),
            expecting("wx.test.state.h.l", "3", None, Position::NONE),
            entry("a.b", "4"),
        ]
    };
    assert!(refused(bed.commit(batch(Position(9))).await));
    let last = bed.commit(batch(Position::NONE)).await.unwrap();
    assert_eq!(last, Position(5));
    assert!(refused(bed.commit(batch(Position(3))).await));
    assert_eq!(bed.end().await, Position(5));
}

pub async fn a_takeover_shuts_the_old_owner_out(bed: Bed) {
    let mine = bed.put(LEASE, "me").await;
    bed.commit(vec![expecting("a.b", "1", Some(LEASE), mine)]).await.unwrap();
    let theirs = bed.commit(vec![expecting(LEASE, "they", None, mine)]).await.unwrap();
    assert!(refused(bed.commit(vec![expecting("a.b", "2", Some(LEASE), mine)]).await));
    assert!(refused(bed.commit(vec![expecting("a.b", "2", Some(LEASE), mine), entry("a.b", "3")]).await));
    bed.commit(vec![expecting("a.b", "4", Some(LEASE), theirs)]).await.unwrap();
    assert_eq!(bed.end().await, Position(4));
}

pub async fn pipelined_singles_share_a_fence(bed: Bed) {
    let lease = bed.put(LEASE, "me").await;
    let fenced = |n: i32| vec![expecting("a.b", &n.to_string(), Some(LEASE), lease)];
    let ends = pipelined(&bed, (0..300).map(fenced)).await;
    let positions: Vec<u64> = ends.into_iter().map(|end| end.unwrap().last.0).collect();
    assert_eq!(positions, (2..=301).collect::<Vec<_>>());
}

pub async fn refuses_expectations_about_what_the_commit_writes(bed: Bed) {
    for batch in [
        vec![entry("a.b", "1"), expecting("a.b", "2", None, Position::NONE)],
        vec![entry(LEASE, "1"), expecting("a.b", "2", Some(LEASE), Position::NONE)],
    ] {
        assert!(matches!(bed.commit(batch).await, Err(CommitError::Invalid(_))));
    }
    assert_eq!(bed.end().await, Position::NONE);
}

pub async fn every_entry_may_carry_a_fence(bed: Bed) {
    let (mine, other) = (bed.put(LEASE, "me").await, bed.put("wx.test.lease.h.1", "me").await);
    let batch = |other: Position| {
        vec![
            expecting("a.b", "1", Some(LEASE), mine),
            expecting("a.b", "2", Some(LEASE), mine),
            expecting("a.b", "3", Some("wx.test.lease.h.1"), other),
            expecting("a.c", "4", Some("wx.test.lease.h.2"), Position::NONE),
        ]
    };
    assert!(refused(bed.commit(batch(mine)).await));
    assert_eq!(bed.commit(batch(other)).await.unwrap(), Position(6));
}
