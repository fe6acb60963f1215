//! Where an operator works: an app, its log, and its manifest where one is at hand.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Result, bail, ensure};
use waxwing_engine::{
    entry::Layout,
    generations,
    port::log::{Log, Part},
};
use waxwing_event::{AppName, HandlerName, HandlerSpec};

use super::{General, found};
use crate::config::{self, Manifest};

/// The most leases that are looked at.
const MAX_LEASES: usize = 100_000;

/// An app's log, and what is known of the app.
pub(super) struct Place {
    pub(super) layout: Layout,
    pub(super) log: Arc<dyn Log>,
    /// None where the app was named without a manifest.
    pub(super) manifest: Option<Manifest>,
}

impl Place {
    /// The place that `--app` or the manifest names.
    pub(super) async fn find(app: Option<&AppName>, general: &General) -> Result<Place> {
        let manifest = manifest(app, general)?;
        let app = match (app, &manifest) {
            (Some(app), _) => app.clone(),
            (None, Some(manifest)) => manifest.config.app.clone(),
            (None, None) => found::app(None, general)?,
        };
        let log = found::existing_log(&app, general).await?;
        let layout = generations::all_live(log.as_ref(), &Layout::new(app)).await?;
        Ok(Place { layout, log, manifest })
    }

    /// The log, and where things stand in it.
    pub(super) fn at(&self) -> (&dyn Log, &Layout) {
        (self.log.as_ref(), &self.layout)
    }

    /// The app's handlers: those of the manifest, else those that have ever run.
    pub(super) async fn handlers(&self) -> Result<BTreeSet<HandlerName>> {
        match self.named() {
            Some(named) => Ok(named),
            None => self.ever_ran().await,
        }
    }

    /// Makes sure that the app has, or once had, a handler of each of these names.
    pub(super) async fn expect(&self, names: &[HandlerName]) -> Result<()> {
        let mut known = self.named().unwrap_or_default();
        if names.iter().all(|name| known.contains(name)) {
            return Ok(());
        }
        known.extend(self.ever_ran().await?);
        if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
            let app = self.layout.app();
            bail!("app `{app}` has no handler `{name}`: list its handlers with `waxwing ls`");
        }
        Ok(())
    }

    /// What the manifest says of a handler.
    pub(super) fn spec(&self, handler: &HandlerName) -> Option<&HandlerSpec> {
        let mut specs = self.manifest.iter().flat_map(|manifest| &manifest.config.handlers);
        specs.find(|configured| configured.spec.name == *handler).map(|configured| &configured.spec)
    }

    fn named(&self) -> Option<BTreeSet<HandlerName>> {
        let handlers = &self.manifest.as_ref()?.config.handlers;
        Some(handlers.iter().map(|handler| handler.spec.name.clone()).collect())
    }

    async fn ever_ran(&self) -> Result<BTreeSet<HandlerName>> {
        let leases = self.log.last_of_each(&self.layout.leases(), Part::Headers, MAX_LEASES).await?;
        let names = leases.iter().filter_map(|lease| self.layout.generation_of(&lease.subject));
        Ok(names.map(|name| name.handler).collect())
    }
}

/// The manifest, unless an app is named without one.
fn manifest(app: Option<&AppName>, general: &General) -> Result<Option<Manifest>> {
    if app.is_some() && general.manifest.is_none() {
        return Ok(None);
    }
    let manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
    if let Some(app) = app {
        let named = &manifest.config.app;
        ensure!(named == app, "the manifest is that of app `{named}`: leave out --app or --manifest");
    }
    Ok(Some(manifest))
}
