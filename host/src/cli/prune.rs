//! `waxwing prune`: versions that nobody needs any more go, and the modules that only they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use waxwing_engine::{
    entry::{
        DeadLetter, Mark,
        deploy::Deployment,
        generation::Generations,
        tombstone,
        version::{Version, VersionNumber},
    },
    port::log::{Entry, Part},
};
use waxwing_event::{AppName, Digest, HandlerName, Pattern};

use super::{
    General, found,
    output::{self, Output, say},
    place::Place,
    style::{END, NAME},
};
use crate::{
    assemble,
    deploy::{
        deployed,
        obsolete::{Needed, obsolete},
    },
};

/// The most entries of a family that are looked through.
const MAX_LISTED: usize = 1_000_000;

/// Removes versions of handlers that nobody needs any more, and modules that no version names
///
/// What is deployed stays, and what it would go back to; the newest versions of each handler; and each on which something
/// failed that waits for another attempt or is a dead letter.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  waxwing prune --dry-run\n  waxwing prune --keep 3")]
pub(super) struct Prune {
    /// The app [default: that of the manifest]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// How many of the newest versions of each handler stay
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    keep: usize,
    /// Show what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// What goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pruned {
    versions: Vec<Gone>,
    modules: Vec<Digest>,
    bytes: u64,
    /// False where nothing was removed yet.
    removed: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gone {
    handler: HandlerName,
    version: VersionNumber,
}

impl Prune {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        let (log, layout) = place.at();
        let store = assemble::modules(layout.app(), &found::target(general)?);
        let stored = store.list().await?;
        // After the modules: one that is deployed meanwhile names its module by then.
        let versions = deployed::versions(log, layout, None).await?;
        let needed = needed(&place).await?;
        let gone = obsolete(&versions, self.keep, &needed);
        if !self.dry_run {
            for (handler, version) in &gone {
                let subject = Pattern::from(&layout.version(handler, version.number));
                log.remove(&subject, log.bounds().await?.last).await?;
            }
        }
        let goes = |of: &(HandlerName, Version)| gone.contains(of);
        let named: BTreeSet<Digest> =
            versions.iter().filter(|version| !goes(version)).map(|(_, version)| version.module).collect();
        let is_free = |module: &Digest| !named.contains(module) && !needed.modules.contains(module);
        let free: Vec<_> = stored.into_iter().filter(|module| is_free(&module.digest)).collect();
        if !self.dry_run {
            for module in &free {
                store.remove(module.digest).await?;
            }
        }
        let pruned = Pruned {
            versions: gone
                .into_iter()
                .map(|(handler, version)| Gone { handler, version: version.number })
                .collect(),
            bytes: free.iter().map(|module| module.bytes).sum(),
            modules: free.into_iter().map(|module| module.digest).collect(),
            removed: !self.dry_run,
        };
        match general.output {
            Output::Json => output::json(&pruned)?,
            Output::Text => pruned.show()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What the log names.
async fn needed(place: &Place) -> Result<Needed> {
    let (log, layout) = place.at();
    let decisions = deployed::decisions(log, layout).await?.into_iter();
    let deployments: BTreeMap<HandlerName, Deployment> =
        decisions.map(|(handler, standing)| (handler, standing.deployment)).collect();
    let mut needed = Needed { deployments, ..Needed::default() };
    for entry in log.last_of_each(&layout.all_generations(), Part::Whole, MAX_LISTED).await? {
        let Generations { module, other, .. } = Generations::read(&entry)?;
        needed.modules.extend(module.into_iter().chain(other.and_then(|other| other.module)));
    }
    let of_all = [layout.all_parked(None), layout.dead_letters(None), layout.all_archived(None)];
    for subjects in of_all {
        for entry in log.last_of_each(&subjects, Part::Headers, MAX_LISTED).await? {
            needed.take(entry);
        }
    }
    Ok(needed)
}

impl Needed {
    /// Takes note of what failed.
    fn take(&mut self, entry: Entry) {
        if tombstone::is(&entry) {
            return;
        }
        let mark = Mark::of(&entry.headers);
        self.versions.extend(mark.and_then(|mark| Some((mark.whose.handler, mark.version?))));
        self.modules.extend(DeadLetter::read(entry).ok().map(|letter| letter.about.module));
    }
}

impl Pruned {
    fn show(&self) -> Result<()> {
        let Pruned { versions, modules, bytes, removed } = self;
        for Gone { handler, version } in versions {
            say!("{NAME}{handler}{END}: version {version}")?;
        }
        let (versions, modules, kib) = (versions.len(), modules.len(), bytes.div_ceil(1024));
        let done = if *removed { "removed" } else { "would be removed" };
        Ok(say!("{versions} versions and {modules} modules ({kib} KiB) {done}")?)
    }
}
