//! What several commands begin with: the manifest, the modules, the app's name, the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Instant,
};

use anyhow::{Result, bail};
use waxwing_engine::port::Log;
use waxwing_event::AppName;

use super::{
    General,
    progress::Building,
    style::{BAD, END, WARN},
};
use crate::{
    assemble,
    config::{self, Manifest, Problems},
    module::{self, Module, ModuleSource},
    nats,
    registry::{self, Address, Pulled},
};

/// The checked manifest; its warnings are shown.
pub(super) fn manifest(path: &Path) -> Result<Manifest> {
    let manifest = checked(config::load(path, std::env::vars()))?;
    for warning in &manifest.warnings {
        anstream::eprintln!("{WARN}warning:{END} {warning}");
    }
    Ok(manifest)
}

/// What was checked; its errors are shown.
pub(super) fn checked<T>(read: Result<T, Problems>) -> Result<T> {
    read.or_else(|problems| {
        let lines = problems.error_lines();
        for line in &lines {
            anstream::eprintln!("{BAD}error:{END} {line}");
        }
        bail!("the manifest has {} {}", lines.len(), if lines.len() == 1 { "error" } else { "errors" });
    })
}

/// The manifest, where there is one that is in order; one that somebody names must be.
pub(super) fn manifest_at_hand(general: &General) -> Result<Option<Manifest>> {
    if let Some(named) = &general.manifest {
        return manifest(&config::find::manifest(Some(named))?).map(Some);
    }
    let found = config::find::upwards(Path::new(config::find::FILE_NAME))?;
    Ok(found.and_then(|path| config::load(&path, std::env::vars()).ok()))
}

/// The modules of the manifest's handlers, in their order; crates are built, what is named by its digest comes from the
/// app's store, and what is in a registry from there.
pub(super) fn modules(manifest: &Manifest, general: &General) -> Result<Vec<Module>> {
    let sources: Vec<ModuleSource> =
        manifest.config.handlers.iter().map(|handler| handler.module.clone()).collect();
    let is_crate = |source: &&ModuleSource| matches!(source, ModuleSource::Crate(_));
    let crates: Vec<String> = sources.iter().filter(is_crate).map(ToString::to_string).collect();
    let fetched = fetched(&manifest.config.app, &sources, general)?;
    if crates.is_empty() {
        return module::gather(&manifest.folder, &sources, &fetched, &module::Silent);
    }
    let started = Instant::now();
    let building = Building::begin(&crates.join(", "));
    let modules = module::gather(&manifest.folder, &sources, &fetched, &building);
    building.end();
    let modules = modules?;
    anstream::eprintln!("built in {:.1} s", started.elapsed().as_secs_f64());
    Ok(modules)
}

/// Fetches the modules that are not on this machine.
pub(super) fn fetched(
    app: &AppName,
    sources: &[ModuleSource],
    general: &General,
) -> Result<BTreeMap<ModuleSource, Module>> {
    let elsewhere: BTreeSet<&ModuleSource> = sources
        .iter()
        .filter(|source| matches!(source, ModuleSource::Stored(_) | ModuleSource::Registry(_)))
        .collect();
    if elsewhere.is_empty() {
        return Ok(BTreeMap::new());
    }
    let fetch = async {
        let mut fetched = BTreeMap::new();
        for source in elsewhere {
            let module = match source {
                ModuleSource::Stored(digest) => {
                    let bytes = assemble::modules(app, &target(general)?).get(*digest).await?.into();
                    Module { source: source.clone(), bytes }
                }
                ModuleSource::Registry(address) => pulled(address).await?,
                ModuleSource::Crate(_) | ModuleSource::File(_) => continue,
            };
            fetched.insert(source.clone(), module);
        }
        Ok(fetched)
    };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(fetch))
}

/// A module from a registry; its source says which the tag has stood for.
pub(super) async fn pulled(address: &Address) -> Result<Module> {
    let Pulled { address, bytes } = registry::pull(address).await?;
    Ok(Module { source: ModuleSource::Registry(address), bytes })
}

/// The app that `--app` or the manifest names.
pub(super) fn app(given: Option<&AppName>, general: &General) -> Result<AppName> {
    match given {
        Some(app) => Ok(app.clone()),
        None => Ok(manifest(&config::find::manifest(general.manifest.as_deref())?)?.config.app),
    }
}

/// How NATS is reached.
pub(super) fn target(general: &General) -> Result<nats::Target> {
    nats::resolve(&general.nats, &nats::Surroundings::here())
}

/// The app's log as it is, to look into; it is not created.
pub(super) async fn existing_log(app: &AppName, general: &General) -> Result<Arc<dyn Log>> {
    assemble::existing_log(app, &target(general)?).await
}
