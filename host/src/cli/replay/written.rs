//! The state that a replay has made, written beside the live one.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use waxwing_engine::{
    entry::{
        generation::{Generation, Kind, Other},
        state,
    },
    port::log::{MAX_COMMIT_ENTRIES, NewEntry, commit as commit_to},
};
use waxwing_event::HandlerName;

use crate::cli::{generation, place::Place, stage::Stage};

/// Whether there is room for it.
pub(super) async fn check(place: &Place, handler: &HandlerName) -> Result<()> {
    let (before, _) = generation::look(place, handler, None).await?;
    match before.other {
        Some(Other { generation, kind: Kind::Built | Kind::Former, .. }) => bail!(
            "generation {generation} of handler `{handler}` stands beside the live one, as a rebuild has left it: \
             remove it first with `waxwing rebuild {handler} --discard`"
        ),
        Some(Other { kind: Kind::Replayed | Kind::Removed, .. }) | None => Ok(()),
    }
}

/// Writes it, in place of what another replay has written.
pub(super) async fn commit(
    place: &Place,
    stage: &Stage,
    state: Vec<(String, Bytes, bool)>,
) -> Result<Generation> {
    let (handler, module) = (&stage.spec.name, stage.module.digest());
    let (before, position) = generation::look(place, handler, None).await?;
    let generation = before.fresh();
    let other = Other { generation, module: Some(module), kind: Kind::Replayed };
    generation::begin(place, handler, (&before, position), other).await?;
    let layout = place.layout.at(handler, generation);
    let entry = |(key, value, is_snapshot): &(String, Bytes, bool)| {
        state::write(layout.state(handler, key), Some(value.clone()), is_snapshot.then_some(module))
    };
    for values in state.chunks(MAX_COMMIT_ENTRIES) {
        let entries: Vec<NewEntry> = values.iter().map(entry).collect();
        let written = commit_to(place.log.as_ref(), entries).await;
        written.context("the state is written in part: replay it again, or discard it")?;
    }
    Ok(generation)
}
