//! `waxwing resume`: paused handlers go on.

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use waxwing_engine::{
    entry::{operator, tombstone},
    port::log::{Part, commit},
};
use waxwing_event::HandlerName;

use super::{
    General,
    listed::MAX_SEARCHED,
    pause::{Changed, Which, paused_since, tell},
    place::Place,
};

/// Lets paused handlers go on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  waxwing resume basket\n  waxwing resume --all")]
pub(super) struct Resume {
    #[command(flatten)]
    which: Which,
}

impl Resume {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.which.app.as_ref(), general).await?;
        let handlers = if self.which.all { paused(&place).await? } else { self.which.named(&place).await? };
        let mut all = Vec::with_capacity(handlers.len());
        for handler in handlers {
            let since = paused_since(&place, &handler).await?;
            if since.is_some() {
                let entry = operator::resume(place.layout.paused(&handler));
                let resumed = commit(place.log.as_ref(), vec![entry]).await;
                resumed.with_context(|| format!("it is not known whether `{handler}` is resumed"))?;
            }
            all.push(Changed { handler, paused: false, changed: since.is_some(), since });
        }
        tell(&all, general)
    }
}

/// Every handler that is paused, also one that the manifest does not name any more.
async fn paused(place: &Place) -> Result<BTreeSet<HandlerName>> {
    let entries = place.log.last_of_each(&place.layout.all_paused(), Part::Headers, MAX_SEARCHED).await?;
    let living = entries.iter().filter(|entry| !tombstone::is(entry));
    Ok(living.filter_map(|entry| place.layout.handler_of(&entry.subject)).collect())
}
