//! The generation of a handler beside the live one: begun, and removed.

use anyhow::{Context, Result, bail};
use waxwing_engine::{
    entry::generation::{Generation, Generations, Kind, Other},
    generations,
    port::log::commit,
};
use waxwing_event::{HandlerName, Position};

use super::place::Place;

/// Makes sure that there is this one.
pub(super) async fn expect(place: &Place, handler: &HandlerName, generation: Generation) -> Result<()> {
    let (found, _) = generations::look(place.log.as_ref(), &place.layout, handler).await?;
    let (live, other) = (found.live, found.standing_other().map(|other| other.generation));
    if generation != live && other != Some(generation) {
        let other = other.map(|other| format!(", and {other} beside it")).unwrap_or_default();
        bail!("handler `{handler}` has no generation {generation}: live is {live}{other}");
    }
    Ok(())
}

/// Begins another one, in place of that which is there.
pub(super) async fn begin(
    place: &Place,
    handler: &HandlerName,
    (before, position): (&Generations, Position),
    other: Other,
) -> Result<()> {
    let position = remove(place, handler, (before, position)).await?;
    write(place, handler, &before.with_other(Some(other)), position).await.map(drop)
}

/// Removes the one that is not live, if there is one; gives where that stands.
pub(super) async fn remove(
    place: &Place,
    handler: &HandlerName,
    (before, position): (&Generations, Position),
) -> Result<Position> {
    let Some(other) = before.other.clone() else { return Ok(position) };
    let generation = other.generation;
    // Named as such until all of it is gone: nobody goes on with a part of it.
    let removed = before.with_other(Some(Other { kind: Kind::Removed, ..other }));
    let position = write(place, handler, &removed, position).await?;
    generations::remove(place.log.as_ref(), &place.layout, handler, generation).await?;
    write(place, handler, &before.with_other(None), position).await
}

/// Which there are, and where that stands; an error where another host switches. One that has been killed while it
/// switched counts no more. `own` is the host that asks, where it is one.
pub(super) async fn look(
    place: &Place,
    handler: &HandlerName,
    own: Option<&str>,
) -> Result<(Generations, Position)> {
    let log = place.log.as_ref();
    let (found, position) = generations::look(log, &place.layout, handler).await?;
    if found.gives_way_to.is_none() {
        return Ok((found, position));
    }
    if let Some(host) = generations::switcher(log, &place.layout, &found, own).await? {
        bail!("the host `{host}` switches the handler to another generation: try again when it is done");
    }
    let freed = Generations { gives_way_to: None, ..found };
    let position = write(place, handler, &freed, position).await?;
    Ok((freed, position))
}

async fn write(
    place: &Place,
    handler: &HandlerName,
    generations: &Generations,
    position: Position,
) -> Result<Position> {
    let entry = generations.write(place.layout.generations(handler), position);
    let written = commit(place.log.as_ref(), vec![entry]).await;
    Ok(written.context("somebody else rebuilds the handler, or the log does not answer")?.last)
}
