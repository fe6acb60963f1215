//! Partitions: a handler's inputs divided by their keys, so that several hosts can run it.
//!
//! Which partition an input belongs to follows from its key and from how many partitions there are; without a key (it
//! cannot be found), from its position. All hosts must find the same, whatever they were built with.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};
use waxwing_event::Position;

use crate::stable_hash;

/// The most partitions that a handler can have.
pub const MAX_PARTITIONS: u32 = 256;

/// A partition of a handler, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Into how many partitions a handler's inputs are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partitions(pub NonZeroU32);

impl Partitions {
    /// They are not divided.
    pub const ONE: Partitions = Partitions(NonZeroU32::MIN);

    /// True where they are not divided.
    pub fn is_one(&self) -> bool {
        *self == Partitions::ONE
    }

    /// Each of them.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.0.get()).map(Partition)
    }

    /// True for one of them.
    pub fn has(self, partition: Partition) -> bool {
        partition.0 < self.0.get()
    }

    /// The one of an input.
    pub fn of(self, key: Option<&str>, position: Position) -> Partition {
        if self.is_one() {
            return Partition(0);
        }
        let hash = match key {
            Some(key) => stable_hash::of(key.bytes()),
            None => stable_hash::of(position.0.to_le_bytes()),
        };
        let number = hash % u64::from(self.0.get());
        // Below the number of partitions, which fits.
        Partition(u32::try_from(number).unwrap_or_default())
    }
}

impl Default for Partitions {
    fn default() -> Partitions {
        Partitions::ONE
    }
}

/// How far a handler had come when its inputs were divided in another way: what its partitions had handled then is
/// handled, whichever partition it belongs to now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Former {
    /// How far each partition of that time had come.
    pub places: Vec<FormerPlace>,
}

/// How far one of the former partitions had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FormerPlace {
    /// Every input of it up to here is handled.
    pub watermark: Position,
    /// Inputs of it above the watermark that are handled too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handled: Vec<Position>,
}

impl FormerPlace {
    fn reaches(&self) -> Position {
        self.handled.iter().copied().max().unwrap_or_default().max(self.watermark)
    }
}

impl Former {
    /// True where the input was handled.
    pub fn covers(&self, key: Option<&str>, position: Position) -> bool {
        let count = u32::try_from(self.places.len()).ok().and_then(NonZeroU32::new);
        let Partition(number) = count.map_or(Partition(0), |count| Partitions(count).of(key, position));
        let place = usize::try_from(number).ok().and_then(|number| self.places.get(number));
        place.is_some_and(|place| position <= place.watermark || place.handled.contains(&position))
    }

    /// The last position of which it tells.
    pub fn reaches(&self) -> Position {
        self.places.iter().map(FormerPlace::reaches).max().unwrap_or_default()
    }

    /// Below this, and here, every input of every partition is handled.
    pub fn watermark(&self) -> Position {
        self.places.iter().map(|place| place.watermark).min().unwrap_or_default()
    }
}

/// What of the log is a partition's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The partition.
    pub partition: Partition,
    /// One of so many.
    pub partitions: Partitions,
}

impl Share {
    /// True where an input of this key, or, without one, at this position, is its own.
    pub fn has(&self, key: Option<&str>, position: Position) -> bool {
        self.partitions.of(key, position) == self.partition
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Share { partition, partitions: Partitions(count) } = self;
        match count.get() {
            1 => write!(f, "{partition}"),
            count => write!(f, "{partition}/{count}"),
        }
    }
}

/// Text that is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no partition of a handler")]
pub struct ShareError;

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        let (partition, count) = text.split_once('/').unwrap_or((text, "1"));
        let partition = Partition(partition.parse().map_err(|_| ShareError)?);
        let partitions = Partitions(count.parse().map_err(|_| ShareError)?);
        let share = Share { partition, partitions };
        // There is one way to write it.
        (partitions.has(partition) && share.to_string() == text).then_some(share).ok_or(ShareError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: u32) -> Partitions {
        Partitions(NonZeroU32::new(count).unwrap())
    }

    #[test]
    fn every_key_has_one_partition_and_all_have_about_as_many() {
        let mut counts = [0; 4];
        for n in 0..4_000 {
            let Partition(number) = partitions(4).of(Some(&format!("order-{n}")), Position(n));
            assert_eq!(partitions(4).of(Some(&format!("order-{n}")), Position(0)), Partition(number));
            counts[number as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
        assert_eq!(Partitions::ONE.of(Some("any"), Position(7)), Partition(0));
    }

    #[test]
    fn what_hosts_have_found_they_find_again() {
        let found: Vec<u32> =
            ["a", "order-17", ""].map(|key| partitions(16).of(Some(key), Position(1)).0).into();
        assert_eq!((found, partitions(16).of(None, Position(1)).0), (KNOWN.0.to_vec(), KNOWN.1));
    }

    /// Another number here would give keys to other partitions than hosts of a former version do.
    const KNOWN: ([u32; 3], u32) = ([0, 0, 0], 0);

    #[test]
    fn what_was_handled_before_a_division_is_known_by_the_partition_of_that_time() {
        let places = [(10, vec![12]), (30, vec![])]
            .map(|(watermark, handled)| FormerPlace {
                watermark: Position(watermark),
                handled: handled.into_iter().map(Position).collect(),
            })
            .into();
        let former = Former { places };
        let key = |number| {
            let of = |key: &String| partitions(2).of(Some(key), Position(0)) == Partition(number);
            (0..).map(|n| format!("k{n}")).find(of).unwrap()
        };
        let covered =
            |key: &str| (9..=31).filter(|n| former.covers(Some(key), Position(*n))).collect::<Vec<_>>();
        assert_eq!(covered(&key(0)), [9, 10, 12]);
        assert_eq!(covered(&key(1)), (9..=30).collect::<Vec<_>>());
        assert_eq!((former.watermark(), former.reaches()), (Position(10), Position(30)));
    }
}
