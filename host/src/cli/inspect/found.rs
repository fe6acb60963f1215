//! The module that is meant.

use std::{fs, sync::Arc};

use anyhow::{Context, Result};
use waxwing_event::AppName;

use crate::{
    assemble,
    cli::{General, deploy::plan::local_module, found},
    config::{HandlerConfig, Manifest},
    registry,
};

/// A module, and where it came from.
pub(super) struct Found {
    pub(super) from: String,
    pub(super) bytes: Arc<[u8]>,
    /// The handler of the manifest that it is, where it was named so.
    pub(super) handler: Option<(Manifest, HandlerConfig)>,
}

/// Finds what a name stands for: a handler of the manifest goes before a file of its name.
pub(super) async fn find(name: &str, app: Option<&AppName>, general: &General) -> Result<Found> {
    let of = |from: String, bytes| Found { from, bytes, handler: None };
    if name.starts_with("sha256:") {
        let app = found::app(app, general)?;
        let bytes = assemble::modules(&app, &found::target(general)?).get(name.parse()?).await?;
        return Ok(of(name.to_owned(), bytes.into()));
    }
    if name.starts_with(registry::PREFIX) {
        let module = found::pulled(&name.parse()?).await?;
        return Ok(of(module.source.to_string(), module.bytes));
    }
    if let Some(found) = of_manifest(name, general)? {
        return Ok(found);
    }
    let path = local_module(name).context("no handler of a manifest here has this name")?;
    let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(of(path.display().to_string(), bytes.into()))
}

fn of_manifest(name: &str, general: &General) -> Result<Option<Found>> {
    let Some(mut manifest) = found::manifest_at_hand(general)? else { return Ok(None) };
    manifest.config.handlers.retain(|handler| handler.spec.name.as_str() == name);
    let Some(handler) = manifest.config.handlers.first().cloned() else { return Ok(None) };
    let module = found::modules(&manifest, general)?.into_iter().next().context("the module was not read")?;
    let handler = Some((manifest, handler));
    Ok(Some(Found { from: module.source.to_string(), bytes: module.bytes, handler }))
}
