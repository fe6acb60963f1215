//! Last entries of subjects.

use waxwing_engine::port::log::{NewEntry, Part};
use waxwing_event::Position;

use super::bed::{Bed, entry, text};

pub async fn finds_the_last_entry_right_after_its_commit(bed: Bed) {
    for n in 1..=50_u64 {
        let position = bed.put("a.b", &n.to_string()).await;
        let last = bed.last("a.b").await.unwrap();
        assert_eq!((last.position, text(&last)), (position, n.to_string()));
    }
}

pub async fn gives_the_last_of_each_subject_in_order(bed: Bed) {
    for (subject, payload) in [("a.s.c", "1"), ("a.s.a", "2"), ("a.t.a", "3"), ("a.s.b", "4"), ("a.s.c", "5")]
    {
        let headers = [("mark", payload)].into_iter().collect();
        bed.commit(vec![NewEntry { headers, ..entry(subject, payload) }]).await.unwrap();
    }
    let read = async |pattern: &str, part, limit| {
        let entries = bed.log.last_of_each(&pattern.parse().unwrap(), part, limit).await.unwrap();
        entries
            .into_iter()
            .map(|e| (e.subject.as_str().to_owned(), e.position.0, text(&e)))
            .collect::<Vec<_>>()
    };
    let row = |subject: &str, position, payload: &str| (subject.to_owned(), position, payload.to_owned());
    let all = [row("a.s.a", 2, "2"), row("a.s.b", 4, "4"), row("a.s.c", 5, "5")];
    assert_eq!(read("a.s.*", Part::Whole, 10).await, all);
    assert_eq!(read("a.s.>", Part::Whole, 2).await, all[..2]);
    assert_eq!(read("a.s.c", Part::Headers, 9).await, [row("a.s.c", 5, "")]);
    assert!(read("a.x.*", Part::Whole, 10).await.is_empty());
}

pub async fn a_subject_without_entries_has_no_last(bed: Bed) {
    bed.put("a.b", "1").await;
    assert_eq!(bed.last("a.b.c").await, None);
    assert_eq!(bed.last("nobody.keeps.this").await, None);
    assert_eq!(bed.end().await, Position(1));
}
