//! How far a log is indexed, and so which segments there are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxwing_engine::{
    entry::Layout,
    port::log::{Entry, NewEntry},
};
use waxwing_event::{Position, Subject};

use super::{FAN, SPAN, TOP};

/// How far the index is, and who has made it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extent {
    /// So many spans from the log's first position on are indexed.
    pub spans: u64,
    /// The host that has written this.
    pub host: String,
    /// When.
    pub time: Timestamp,
}

/// A segment: what lies between two positions, found by hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How often it was merged.
    pub level: u32,
    /// Which of its level, from 0.
    pub number: u64,
}

impl Extent {
    /// Reads it; none where it is damaged: then nothing counts as indexed. What is indexed stands before this.
    pub fn read(entry: &Entry) -> Option<Extent> {
        let extent: Extent = serde_json::from_slice(&entry.payload).ok()?;
        let last = extent.spans.checked_mul(SPAN)?;
        (last < entry.position.0).then_some(extent)
    }

    /// The entry that keeps it.
    pub fn write(&self, layout: &Layout) -> NewEntry {
        let mut entry = NewEntry::new(layout.indexed(), serde_json::to_vec(self).unwrap_or_default());
        entry.rollup = true;
        entry
    }

    /// The last position that is indexed.
    pub fn last(&self) -> Position {
        Position(self.spans * SPAN)
    }

    /// The segments that there are, the oldest first.
    pub fn segments(&self) -> Vec<Place> {
        let mut segments = Vec::new();
        for level in (0..=TOP).rev() {
            let end = self.spans / spans(level);
            let start = if level == TOP { 0 } else { self.spans / spans(level + 1) * FAN };
            segments.extend((start..end).map(|number| Place { level, number }));
        }
        segments
    }

    /// The level above 0 to which segments are merged when this is reached; none where none is due.
    pub fn merges(&self) -> Vec<u32> {
        (1..=TOP).take_while(|level| self.spans.is_multiple_of(spans(*level)) && self.spans > 0).collect()
    }
}

impl Place {
    /// The first position that it covers.
    pub fn first(self) -> Position {
        Position(self.number * spans(self.level) * SPAN + 1)
    }

    /// The last position that it covers.
    pub fn last(self) -> Position {
        Position((self.number + 1) * spans(self.level) * SPAN)
    }

    /// Into how many parts it is divided.
    pub fn parts(self) -> u64 {
        spans(self.level)
    }

    /// Those of the level below of which it was made, each with how far it begins behind the first.
    pub fn below(self) -> impl Iterator<Item = (Place, u64)> {
        let level = self.level.saturating_sub(1);
        let places = (0..FAN).map(move |n| Place { level, number: self.number * FAN + n });
        places.map(move |place| (place, place.first().0 - self.first().0))
    }

    /// Where one of its parts stands.
    pub fn subject(self, layout: &Layout, part: u64) -> Subject {
        layout.index_segment(self.level, self.number, part)
    }
}

/// How many spans a segment of a level covers, and into how many parts it is divided.
fn spans(level: u32) -> u64 {
    FAN.pow(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(spans: u64) -> Extent {
        Extent { spans, host: "h".to_owned(), time: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn segments_cover_all_that_is_indexed_once() {
        for spans in (0..600).chain([4095, 4096, 4097, 12_345, 70_000]) {
            let extent = extent(spans);
            let mut next = Position(1);
            let segments = extent.segments();
            for place in &segments {
                assert_eq!(place.first(), next, "{spans}");
                next = place.last().next();
            }
            assert_eq!(next, extent.last().next(), "{spans}");
            let below_top = segments.iter().filter(|place| place.level < TOP);
            assert!(below_top.count() <= 15 * TOP as usize, "{spans}");
        }
    }

    #[test]
    fn what_cannot_be_is_no_extent() {
        let layout = Layout::new("a".parse().unwrap());
        for (spans, position, is_read) in [
            (0, 1, true),
            (1, SPAN + 1, true),
            (1, SPAN, false),
            (u64::MAX, u64::MAX, false),
            (u64::MAX / SPAN, 9, false),
        ] {
            let NewEntry { subject, headers, payload, .. } = extent(spans).write(&layout);
            let time = Timestamp::UNIX_EPOCH;
            let entry = Entry { position: Position(position), subject, headers, payload, time };
            assert_eq!(Extent::read(&entry).is_some(), is_read, "{spans} at {position}");
        }
    }

    #[test]
    fn each_segment_is_made_of_those_that_were_there() {
        for spans in [16, 32, 256, 4096, 8192] {
            let level = *extent(spans).merges().last().unwrap();
            let made = *extent(spans).segments().iter().rfind(|place| place.level == level).unwrap();
            let before: Vec<Place> = made.below().map(|(place, _)| place).collect();
            assert_eq!(before.first().map(|p| p.first()), Some(made.first()));
            assert_eq!(before.last().map(|p| p.last()), Some(made.last()));
        }
        assert!(extent(0).merges().is_empty() && extent(17).merges().is_empty());
        assert_eq!(extent(256).merges(), [1, 2]);
    }
}
