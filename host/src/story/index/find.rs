//! Looks up which entries belong to a story.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use waxwing_engine::{
    entry::Layout,
    port::{Log, log::ReadError},
};
use waxwing_event::Position;

use super::{
    extent::{Extent, Place},
    segment::{Segment, hash, part},
};

/// Segments that are read at once.
const AT_ONCE: usize = 16;

/// What the index knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Where entries of the story stand, and now and then one of another.
    pub positions: BTreeSet<Position>,
    /// What is not indexed, the oldest first: from one position to another, both included.
    pub rest: Vec<(Position, Position)>,
}

/// How far the log is indexed; none where nobody has begun.
pub async fn extent(log: &dyn Log, layout: &Layout) -> Result<Option<Extent>, ReadError> {
    Ok(log.last(&layout.indexed()).await?.as_ref().and_then(Extent::read))
}

/// Where entries of this story stand between `first` and `last`.
pub async fn find(
    log: &dyn Log,
    layout: &Layout,
    correlation_id: &str,
    (first, last): (Position, Position),
) -> Result<Found, ReadError> {
    let mut found = Found::default();
    let mut next = first;
    if let Some(extent) = extent(log, layout).await? {
        let hash = hash(correlation_id);
        let places =
            extent.segments().into_iter().filter(|place| place.last() >= first && place.first() <= last);
        let read = stream::iter(places).map(|place| async move {
            Ok::<_, ReadError>((place, segment(log, layout, place, hash).await?))
        });
        let mut read = read.buffered(AT_ONCE);
        while let Some((place, segment)) = read.try_next().await? {
            match segment {
                Some(segment) => {
                    found.positions.extend(segment.find(hash, place.first()));
                    next = next.max(place.last().next());
                }
                // It is gone, or damaged.
                None => {
                    found.rest.push((place.first().max(first), place.last().min(last)));
                    next = next.max(place.last().next());
                }
            }
        }
    }
    if next <= last {
        found.rest.push((next, last));
    }
    found.positions.retain(|position| (first..=last).contains(position));
    Ok(found)
}

async fn segment(
    log: &dyn Log,
    layout: &Layout,
    place: Place,
    hash: u32,
) -> Result<Option<Segment>, ReadError> {
    let entry = log.last(&place.subject(layout, part(hash, place.parts()))).await?;
    Ok(entry.and_then(|entry| Segment::decode(&entry.payload)))
}
