//! What a deployment would write: each handler loaded as a host loads it, and compared with what is deployed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use waxwing_engine::{
    entry::{
        Layout,
        version::{Version, VersionNumber},
    },
    port::Log,
};
use waxwing_event::{Digest, HandlerName, HandlerSpec};
use waxwing_log::jetstream::{
    ModuleStore,
    modules::{MAX_MODULE_BYTES, digest_of},
};

use super::{Choice, signing::sign};
use crate::{
    assemble,
    cli::{General, found},
    config::{HandlerConfig, Manifest},
    deploy::{
        deployed,
        difference::{Change, Side, difference},
        written::Wanted,
    },
    module::{Module, build},
    own_folder::OwnFolder,
    registry,
    signature::{Claim, Signer},
};

/// A handler that may be deployed: its module is loaded.
pub(super) struct Candidate {
    config: HandlerConfig,
    from: String,
    bytes: Arc<[u8]>,
    digest: Digest,
    imports: BTreeSet<String>,
}

/// What would be done about a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It was never deployed, or was taken out.
    First,
    /// It goes on with another version.
    Next {
        /// The version that is deployed.
        before: VersionNumber,
    },
    /// The same goes on, with signatures that it did not have.
    Signed {
        /// The version that is deployed.
        before: VersionNumber,
    },
    /// What is deployed is the same.
    Unchanged,
}

/// A handler, compared.
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) changes: Vec<Change>,
    /// What the manifest says, read.
    pub(super) spec: HandlerSpec,
    pub(super) wanted: Wanted,
    pub(super) module: Arc<[u8]>,
}

/// Plans deployments of an app.
pub(super) struct Planning<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) layout: &'a Layout,
    pub(super) store: &'a ModuleStore,
    /// Who signs.
    pub(super) signers: &'a [Signer],
}

impl Planning<'_> {
    /// Finds, builds and loads the modules of what is chosen.
    pub(super) async fn load(&self, choices: &[Choice], general: &General) -> Result<Vec<Candidate>> {
        let mut manifest = self.manifest.clone();
        self.check(choices)?;
        if !choices.is_empty() {
            let is_chosen = |handler: &HandlerConfig| choices.iter().any(|c| c.handler == handler.spec.name);
            manifest.config.handlers.retain(is_chosen);
        }
        let named = |handler: &HandlerName| {
            choices.iter().find(|choice| choice.handler == *handler).and_then(|choice| choice.module.clone())
        };
        let mut candidates = Vec::new();
        let (elsewhere, of_manifest): (Vec<_>, Vec<_>) =
            manifest.config.handlers.iter().cloned().partition(|handler| named(&handler.spec.name).is_some());
        for config in elsewhere {
            let from = named(&config.spec.name).unwrap_or_default();
            let read = self.read(from).await.with_context(|| format!("handler `{}`", config.spec.name));
            let (from, bytes) = read?;
            candidates.push((config, from, bytes));
        }
        manifest.config.handlers = of_manifest;
        if !manifest.config.handlers.is_empty() {
            let modules = found::modules(&manifest, general)?;
            for (config, Module { source, bytes }) in manifest.config.handlers.into_iter().zip(modules) {
                candidates.push((config, source.to_string(), bytes));
            }
        }
        candidates.sort_by(|(a, ..), (b, ..)| a.spec.name.cmp(&b.spec.name));
        self.try_out(candidates)
    }

    fn check(&self, choices: &[Choice]) -> Result<()> {
        for (index, Choice { handler, .. }) in choices.iter().enumerate() {
            let is_known = self.manifest.config.handlers.iter().any(|known| known.spec.name == *handler);
            if !is_known {
                bail!(
                    "the manifest has no handler `{handler}`: add `[handlers.{handler}]`, or correct the name"
                );
            }
            if choices.iter().take(index).any(|earlier| earlier.handler == *handler) {
                bail!("handler `{handler}` is named twice: name it once");
            }
        }
        Ok(())
    }

    /// A module that somebody names beside the manifest's.
    async fn read(&self, from: String) -> Result<(String, Arc<[u8]>)> {
        if from.starts_with("sha256:") {
            let bytes = self.store.get(from.parse()?).await?.into();
            return Ok((from, bytes));
        }
        if from.starts_with(registry::PREFIX) {
            let Module { source, bytes } = found::pulled(&from.parse()?).await?;
            return Ok((source.to_string(), bytes));
        }
        let path = local_module(&from)?;
        let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?.into();
        Ok((from, bytes))
    }

    /// Loads each as a host does; tells all that cannot be.
    fn try_out(&self, read: Vec<(HandlerConfig, String, Arc<[u8]>)>) -> Result<Vec<Candidate>> {
        let cache = Some(OwnFolder::open(&self.manifest.folder)?.cache()?);
        let sandbox = assemble::sandbox(&self.manifest.config, cache)?;
        let (mut candidates, mut refused) = (Vec::new(), Vec::new());
        for (config, from, bytes) in read {
            let name = config.spec.name.clone();
            if bytes.len() as u64 > MAX_MODULE_BYTES {
                let size = bytes.len();
                refused.push(format!(
                    "handler `{name}`: {from} has {size} bytes: at most {MAX_MODULE_BYTES} are taken"
                ));
                continue;
            }
            match sandbox.load(&config.spec, &bytes) {
                Ok(_) => candidates.push(Candidate {
                    config,
                    from,
                    digest: digest_of(&bytes),
                    imports: imports(&bytes).unwrap_or_default(),
                    bytes,
                }),
                Err(why) => refused.push(format!("handler `{name}`: {from}: {why}")),
            }
        }
        match refused.as_slice() {
            [] => Ok(candidates),
            _ => bail!("nothing is deployed: {}", refused.join("; ")),
        }
    }

    /// Compares with what is deployed.
    pub(super) async fn compare(
        &self,
        candidates: Vec<Candidate>,
        log: Option<&dyn Log>,
    ) -> Result<Vec<Planned>> {
        let mut planned = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            planned.push(self.compare_one(candidate, log).await?);
        }
        Ok(planned)
    }

    async fn compare_one(&self, candidate: Candidate, log: Option<&dyn Log>) -> Result<Planned> {
        let Candidate { config: HandlerConfig { spec, table, .. }, from, bytes, digest, imports } = candidate;
        let replaces = match log {
            Some(log) => deployed::decision(log, self.layout, &spec.name).await?,
            None => None,
        };
        let number = replaces.as_ref().and_then(|(deployment, _)| deployment.version);
        let before = match (log, number) {
            (Some(log), Some(number)) => Some(deployed::version(log, self.layout, &spec.name, number).await?),
            _ => None,
        };
        let claim = Claim { app: self.layout.app(), handler: &spec.name, module: digest, manifest: &table };
        let step = match &before {
            None => Step::First,
            Some(before) if before.module == digest && before.manifest == table => {
                let by = claim.signed_by(&before.signatures);
                match self.signers.iter().all(|signer| by.contains(signer.public())) {
                    true => Step::Unchanged,
                    false => Step::Signed { before: before.number },
                }
            }
            Some(before) => Step::Next { before: before.number },
        };
        let changes = Self::changes(before.as_ref(), Side { manifest: &table, imports: Some(&imports) });
        let signatures = sign(self.signers, &claim)?;
        let wanted = Wanted {
            handler: spec.name.clone(),
            module: digest,
            bytes: bytes.len() as u64,
            imports,
            manifest: table,
            from,
            signatures,
            replaces,
        };
        Ok(Planned { step, changes, spec, wanted, module: bytes })
    }

    fn changes(before: Option<&Version>, after: Side<'_>) -> Vec<Change> {
        let Some(before) = before else { return difference(None, after) };
        difference(Some(Side { manifest: &before.manifest, imports: Some(&before.imports) }), after)
    }
}

/// Where a module lies that somebody names: a .wasm file, or what a crate's folder was built to. Blocks while that is built.
pub(in crate::cli) fn local_module(from: &str) -> Result<PathBuf> {
    let path = Path::new(from);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let built = tokio::task::block_in_place(|| build(&[path.to_owned()]))?;
            built.into_values().next().with_context(|| format!("the crate {from} was not built"))
        }
        Ok(_) => Ok(path.to_owned()),
        Err(_) => bail!("there is no module at {from}: name a crate's folder or a .wasm file"),
    }
}

/// What a module asks of the host: the contract's interfaces by their names, others in full.
pub(in crate::cli) fn imports(module: &[u8]) -> Option<BTreeSet<String>> {
    let contract = waxwing_sandbox::check(module).ok()?;
    let named = contract.imports.iter().filter_map(|import| {
        let (interface, _) = import.split_once('@')?;
        // WASI's basics are in every module.
        let is_basic = interface.starts_with("wasi:") && !interface.starts_with("wasi:http");
        let name = interface.strip_prefix("waxwing:events/").unwrap_or(interface);
        (!is_basic && name != "types").then(|| name.to_owned())
    });
    Some(named.collect())
}

impl Planned {
    /// Where the module came from, and what it is.
    pub(super) fn module(&self) -> String {
        let Wanted { module, bytes, from, .. } = &self.wanted;
        format!("{from}, {} KiB, {}", bytes.div_ceil(1024), short(*module))
    }
}

/// A digest, as far as people need it.
pub(in crate::cli) fn short(digest: Digest) -> String {
    digest.to_string().chars().take("sha256:".len() + 12).collect()
}
