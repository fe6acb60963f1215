//! A segment's part: hashes with positions, sorted, eight bytes each.

use waxwing_event::Position;

/// Bytes of one item: the hash, then the distance from the first position that the segment covers.
const ITEM_BYTES: usize = 8;

/// The hash of a correlation id.
pub fn hash(correlation_id: &str) -> u32 {
    u32::try_from(waxwing_engine::stable_hash::of(correlation_id.bytes()) >> 32).unwrap_or_default()
}

/// Which of so many parts a hash is in; `parts` is a power of two.
pub fn part(hash: u32, parts: u64) -> u64 {
    (u64::from(hash) * parts) >> 32
}

/// A segment's part, or all of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segment(Vec<(u32, u32)>);

impl Segment {
    /// Of these hashes, with the distances from the first position.
    pub fn new(mut items: Vec<(u32, u32)>) -> Segment {
        items.sort_unstable();
        items.dedup();
        Segment(items)
    }

    /// True where it has no item.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it is kept.
    pub fn encode(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(hash, offset)| [hash.to_be_bytes(), offset.to_be_bytes()])
            .flatten()
            .collect()
    }

    /// As it was kept; none where it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Segment> {
        let (chunks, rest) = bytes.as_chunks::<ITEM_BYTES>();
        let item = |chunk: &[u8; ITEM_BYTES]| {
            let both = u64::from_be_bytes(*chunk);
            Some((u32::try_from(both >> 32).ok()?, u32::try_from(both & u64::from(u32::MAX)).ok()?))
        };
        let items: Vec<_> = chunks.iter().map(item).collect::<Option<_>>()?;
        (rest.is_empty() && items.is_sorted()).then_some(Segment(items))
    }

    /// The positions with this hash, where the segment begins at `first`.
    pub fn find(&self, hash: u32, first: Position) -> impl Iterator<Item = Position> {
        let start = self.0.partition_point(|(known, _)| *known < hash);
        let found = self.0.iter().skip(start).take_while(move |(known, _)| *known == hash);
        found.map(move |(_, offset)| Position(first.0 + u64::from(*offset)))
    }

    /// Several that follow each other, each with how far it begins behind the first, as one: in so many parts.
    pub fn merged(of: impl IntoIterator<Item = (Segment, u32)>, parts: u64) -> Vec<Segment> {
        let mut merged = vec![Vec::new(); usize::try_from(parts).unwrap_or(1)];
        for (Segment(items), behind) in of {
            for (hash, offset) in items {
                let index = usize::try_from(part(hash, parts)).unwrap_or_default();
                if let Some(part) = merged.get_mut(index) {
                    part.push((hash, offset.saturating_add(behind)));
                }
            }
        }
        merged.into_iter().map(Segment::new).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_read_as_it_was_written(items: Vec<(u32, u32)>) {
            let segment = Segment::new(items);
            prop_assert_eq!(Segment::decode(&segment.encode()), Some(segment));
        }

        #[test]
        fn whatever_stands_there_is_read_or_refused(bytes: Vec<u8>) {
            Segment::decode(&bytes);
        }

        #[test]
        fn finds_after_merging_what_it_found_before(items: Vec<Vec<(u8, u16)>>) {
            // Few hashes, so that some are found.
            let wide = |(hash, offset): &(u8, u16)| (u32::from(*hash) << 24, u32::from(*offset));
            let segments: Vec<Segment> =
                items.iter().map(|items| Segment::new(items.iter().map(wide).collect())).collect();
            let behind = |i: usize| u32::try_from(i << 16).unwrap();
            let merged =
                Segment::merged(segments.iter().cloned().enumerate().map(|(i, s)| (s, behind(i))), 16);
            for hash in (0..=255_u32).map(|hash| hash << 24) {
                let before: Vec<Position> = segments
                    .iter()
                    .enumerate()
                    .flat_map(|(i, s)| s.find(hash, Position(1 + u64::from(behind(i)))))
                    .collect();
                let part = &merged[usize::try_from(part(hash, 16)).unwrap()];
                prop_assert_eq!(part.find(hash, Position(1)).collect::<Vec<_>>(), before);
            }
        }
    }
}
