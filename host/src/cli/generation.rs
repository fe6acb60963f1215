//! The generation of a handler beside the live one: begun, and removed.

use anyhow::{Context, Result, bail};
use waxwing_engine::{
    entry::generation::{Generation, Generations, Other},
    generations,
    port::log::commit,
};
use waxwing_event::{HandlerName, Position};

use super::place::Place;

/// Makes sure that there is this one.
pub(super) async fn expect(place: &Place, handler: &HandlerName, generation: Generation) -> Result<()> {
    let (Generations { live, other, .. }, _) =
        generations::look(place.log.as_ref(), &place.layout, handler).await?;
    let other = other.map(|other| other.generation);
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
    let with = Generations { other: Some(other), ..before.clone() };
    write(place, handler, &with, position).await.map(drop)
}

/// Removes the one that is not live, if there is one; gives where that stands.
pub(super) async fn remove(
    place: &Place,
    handler: &HandlerName,
    (before, position): (&Generations, Position),
) -> Result<Position> {
    let Some(Other { generation, .. }) = &before.other else { return Ok(position) };
    // What is named nowhere is built by nobody.
    let alone = Generations { other: None, ..before.clone() };
    let position = write(place, handler, &alone, position).await?;
    generations::remove(place.log.as_ref(), &place.layout, handler, *generation).await?;
    Ok(position)
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
