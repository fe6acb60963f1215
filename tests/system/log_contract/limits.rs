//! Each limit: just under, at, just over.

use waxwing_engine::port::log::{CommitError, Keep, MAX_COMMIT_ENTRIES, NewEntry};
use waxwing_event::Position;
use waxwing_log::form::MAX_HEADER_BYTES;

use super::bed::{Bed, entry, expecting};

fn invalid<T>(end: Result<T, CommitError>) -> bool {
    matches!(end, Err(CommitError::Invalid(_)))
}

pub async fn takes_the_largest_entry_and_no_larger(bed: Bed) {
    let max = bed.log.max_entry_bytes();
    // With all headers that a log adds, in a batch, under long names.
    let lease = format!("wx.test.lease.{}", "l".repeat(200));
    let large = |bytes: usize| NewEntry {
        headers: [("h", "12345")].into_iter().collect(),
        payload: vec![b'x'; bytes - 10].into(),
        rollup: true,
        keep: Keep::Forever,
        ..expecting("a.b", "", Some(&lease), Position::NONE)
    };
    for bytes in [max - 1, max] {
        bed.commit(vec![large(bytes)]).await.unwrap();
        bed.commit(vec![large(bytes), entry("a.c", "1")]).await.unwrap();
        assert_eq!(bed.last("a.b").await.unwrap().payload.len(), bytes - 10);
    }
    assert!(invalid(bed.commit(vec![large(max + 1)]).await));
    assert!(invalid(bed.commit(vec![entry("a.c", "1"), large(max + 1)]).await));
}

pub async fn takes_no_subject_that_it_does_not_keep(bed: Bed) {
    for subject in ["b.c", "a", "wx.other.x"] {
        assert!(invalid(bed.commit(vec![entry(subject, "1")]).await), "{subject}");
        assert!(invalid(bed.commit(vec![entry("a.b", "1"), entry(subject, "1")]).await), "{subject}");
    }
    assert_eq!(bed.end().await, Position::NONE);
}

pub async fn takes_one_to_a_thousand_entries_a_commit(bed: Bed) {
    assert!(invalid(bed.commit(Vec::new()).await));
    let many = |count| (0..count).map(|_| entry("a.b", "x")).collect();
    bed.commit(many(MAX_COMMIT_ENTRIES - 1)).await.unwrap();
    bed.commit(many(MAX_COMMIT_ENTRIES)).await.unwrap();
    assert!(invalid(bed.commit(many(MAX_COMMIT_ENTRIES + 1)).await));
    assert_eq!(bed.end().await, Position(1999));
}

pub async fn takes_headers_up_to_their_limit(bed: Bed) {
    let with = |bytes: usize| NewEntry {
        headers: [("h", "x".repeat(bytes - 5))].into_iter().collect(),
        rollup: true,
        ..expecting("a.b", "", Some("wx.test.lease"), Position::NONE)
    };
    bed.commit(vec![with(MAX_HEADER_BYTES)]).await.unwrap();
    bed.commit(vec![with(MAX_HEADER_BYTES), entry("a.c", "1")]).await.unwrap();
    assert!(invalid(bed.commit(vec![with(MAX_HEADER_BYTES + 1)]).await));
    assert_eq!(bed.last("a.b").await.unwrap().headers.get("h").unwrap().len(), MAX_HEADER_BYTES - 5);
}
