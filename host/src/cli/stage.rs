//! A handler's module on a stage: it runs as on a host, and nothing of it is written.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::sync::oneshot;
use waxwing_engine::port::{
    Invoke,
    invoke::{Report, Run, StateView},
};
use waxwing_event::{Event, HandlerName, HandlerSpec, Outcome};
use waxwing_sandbox::Sandbox;

use super::{General, found};
use crate::{assemble, config::Manifest, own_folder::OwnFolder};

/// A handler's module, loaded as `run` does.
pub(super) struct Stage {
    pub(super) spec: HandlerSpec,
    /// What the manifest says of the handler, as it is deployed.
    pub(super) table: serde_json::Value,
    /// Where the module came from.
    pub(super) from: String,
    pub(super) bytes: Arc<[u8]>,
    pub(super) module: Arc<dyn Invoke>,
    // Outlives the runs.
    _sandbox: Sandbox,
}

impl Stage {
    /// Loads the handler's module; `what` needs it, as errors say.
    pub(super) fn set(
        manifest: Option<&Manifest>,
        handler: &HandlerName,
        what: &str,
        general: &General,
    ) -> Result<Stage> {
        let Some(manifest) = manifest else {
            bail!("{what} needs the app's manifest: go to its folder, or name it with --manifest");
        };
        let mut manifest = manifest.clone();
        manifest.config.handlers.retain(|configured| configured.spec.name == *handler);
        let [configured] = manifest.config.handlers.as_slice() else {
            bail!("the manifest has no handler `{handler}`: {what} needs its module");
        };
        let (spec, table) = (configured.spec.clone(), configured.table.clone());
        let modules = found::modules(&manifest, general)?;
        let cache = Some(OwnFolder::open(&manifest.folder)?.cache()?);
        let sandbox = assemble::sandbox(&manifest.config, cache)?;
        let module = modules.into_iter().next().context("the module was not read")?;
        let (from, bytes) = (module.source.to_string(), module.bytes);
        let module = sandbox.load(&spec, &bytes);
        let module = module.with_context(|| format!("handler `{handler}` cannot run its module"))?;
        Ok(Stage { spec, table, from, bytes, module, _sandbox: sandbox })
    }

    /// Runs it.
    pub(super) async fn run(
        &self,
        event: Arc<Event>,
        state: Arc<dyn StateView>,
        is_asked: bool,
    ) -> Result<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let reporter = Box::new(move |report| drop(sender.send(report)));
        self.module.invoke(Run { event, state, is_asked, reporter });
        let Report { outcome, .. } = receiver.await.context("the sandbox has ended")?;
        Ok(outcome)
    }
}
