//! Reading forward.

use waxwing_engine::port::log::{NewEntry, Part};
use waxwing_event::Position;

use super::bed::{Bed, entry, in_time, text};

async fn filled(bed: &Bed, count: u64) {
    for n in 1..=count {
        bed.put(if n % 2 == 0 { "a.even.x" } else { "a.odd.y" }, &n.to_string()).await;
    }
}

pub async fn starts_at_a_position(bed: Bed) {
    filled(&bed, 10).await;
    let entries = bed.reader(4, &[], Part::Whole).await.take(7).await;
    let positions: Vec<u64> = entries.iter().map(|e| e.position.0).collect();
    assert_eq!(positions, (4..=10).collect::<Vec<_>>());
    let from_the_start = bed.reader(0, &[], Part::Whole).await.take(1).await;
    assert_eq!(from_the_start[0].position, Position(1));
}

pub async fn reads_what_matches_a_pattern(bed: Bed) {
    filled(&bed, 10).await;
    bed.put("a.other", "11").await;
    let read = async |subjects: &[&str], count| {
        let entries = bed.reader(3, subjects, Part::Whole).await.take(count).await;
        entries.iter().map(|e| e.position.0).collect::<Vec<_>>()
    };
    assert_eq!(read(&["a.even.*"], 4).await, [4, 6, 8, 10]);
    assert_eq!(read(&["a.odd.>", "a.other"], 5).await, [3, 5, 7, 9, 11]);
    // Overlapping patterns give no entry twice, and none that matches neither.
    assert_eq!(read(&["a.*.x", "a.even.*"], 4).await, [4, 6, 8, 10]);
    assert_eq!(read(&["a.>", "a.even.x"], 9).await, (3..=11).collect::<Vec<_>>());
}

pub async fn reads_headers_without_payloads(bed: Bed) {
    let new = NewEntry { headers: [("mark", "1")].into_iter().collect(), ..entry("a.b", "payload") };
    bed.commit(vec![new]).await.unwrap();
    bed.put("a.b", "no headers").await;
    let entries = bed.reader(1, &[], Part::Headers).await.take(2).await;
    assert!(entries.iter().all(|e| e.payload.is_empty()));
    assert_eq!(entries[0].headers.iter().collect::<Vec<_>>(), [("mark", "1")]);
    assert!(entries[1].headers.is_empty());
}

pub async fn waits_for_new_entries(bed: Bed) {
    let mut reader = bed.reader(1, &["a.b"], Part::Whole).await;
    let (entries, _) = tokio::join!(reader.take(2), async {
        bed.put("a.c", "not this").await;
        bed.put("a.b", "1").await;
        bed.put("a.b", "2").await;
    });
    assert_eq!(entries.iter().map(text).collect::<Vec<_>>(), ["1", "2"]);
}

pub async fn readers_do_not_disturb_each_other(bed: Bed) {
    filled(&bed, 50).await;
    let mut fast = bed.reader(1, &[], Part::Whole).await;
    let mut slow = bed.reader(1, &["a.odd.>"], Part::Headers).await;
    assert_eq!(slow.take(1).await[0].position, Position(1));
    assert_eq!(fast.take(50).await.len(), 50);
    filled(&bed, 50).await;
    assert_eq!(fast.take(50).await[0].position, Position(51));
    let rest = slow.take(49).await;
    assert_eq!((rest[0].position, rest[48].position), (Position(3), Position(99)));
}

pub async fn a_cancelled_wait_loses_nothing(bed: Bed) {
    let mut reader = bed.reader(1, &[], Part::Whole).await;
    let mut read = Vec::new();
    for n in 1..=100_u64 {
        bed.put("a.b", &n.to_string()).await;
        // Dropped at each of its waits in turn.
        for polls in 0..4 {
            read.extend(polled(&mut reader, polls).await);
        }
    }
    read.extend(reader.take(100 - read.len()).await.iter().map(|e| e.position.0));
    assert_eq!(read, (1..=100).collect::<Vec<_>>());
}

/// Polls `next` so many times and drops it.
async fn polled(reader: &mut super::bed::TestReader, polls: usize) -> Vec<u64> {
    let mut next = reader.0.next(7);
    for _ in 0..polls {
        let polled = futures::poll!(&mut next);
        if let std::task::Poll::Ready(entries) = polled {
            return entries.unwrap().iter().map(|e| e.position.0).collect();
        }
        tokio::task::yield_now().await;
    }
    Vec::new()
}

pub async fn a_reader_past_the_end_waits_for_its_place(bed: Bed) {
    filled(&bed, 2).await;
    let mut reader = bed.reader(5, &[], Part::Whole).await;
    let (entries, ()) = in_time(async { tokio::join!(reader.take(1), filled(&bed, 3)) }).await;
    assert_eq!(entries[0].position, Position(5));
}
