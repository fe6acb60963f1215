//! `waxwing check`: manifest and modules, without a server.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use waxwing_engine::entry::Layout;
use waxwing_event::{AppName, Pattern, SecretName, StreamName, handler::View};
use waxwing_sandbox::{Contract, Sandbox, Secrets};

use super::{
    General, found,
    output::{self, Output, say},
    style::{BAD, DIM, END, GOOD, NAME, WARN},
};
use crate::{
    assemble,
    config::{self, HandlerConfig},
    module::Module,
    own_folder::OwnFolder,
};

/// Checks the manifest and the modules; needs no server
///
/// Builds handler crates, then loads each module as `run` would.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing check\n  \
    waxwing check -C handlers --output json")]
pub(super) struct Check {}

/// What was found about one handler.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    handler: String,
    module: String,
    size_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
    imports: Vec<String>,
    /// The stream that it reads, where that is not the app's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamName>,
    /// Subjects outside the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    publish: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    live: Vec<Pattern>,
    /// Subjects outside the log that it may ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asks: Vec<Pattern>,
    /// The KV bucket that shows its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    /// Secrets that it may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<Needed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A secret that a handler may read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Needed {
    name: SecretName,
    /// Why a host on this machine would not have it; none: it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

impl Check {
    pub(super) fn execute(&self, general: &General) -> Result<ExitCode> {
        let manifest = found::manifest(&config::find::manifest(general.manifest.as_deref())?)?;
        let modules = found::modules(&manifest, general)?;
        let cache = Some(OwnFolder::open(&manifest.folder)?.cache()?);
        let sandbox = assemble::sandbox(&manifest.config, cache)?;
        let secrets = assemble::secrets(&manifest.config);
        let (app, handlers) = (&manifest.config.app, manifest.config.handlers.iter());
        let find = |(handler, module): (&HandlerConfig, &Module)| Finding {
            secrets: needed(&secrets, handler),
            ..find(&sandbox, app, handler, module)
        };
        let findings: Vec<Finding> = handlers.zip(&modules).map(find).collect();
        match general.output {
            Output::Json => output::json(&findings)?,
            Output::Text => findings.iter().try_for_each(show)?,
        }
        let is_fine = findings.iter().all(|finding| finding.error.is_none());
        Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn find(sandbox: &Sandbox, app: &AppName, handler: &HandlerConfig, module: &Module) -> Finding {
    let contract = waxwing_sandbox::check(&module.bytes);
    let loaded = sandbox.load(&handler.spec, &module.bytes);
    Finding {
        handler: handler.spec.name.to_string(),
        module: module.source.to_string(),
        size_bytes: module.bytes.len(),
        contract: contract.as_ref().ok().map(Contract::spoken),
        imports: contract.map(|contract| contract.imports).unwrap_or_default(),
        stream: handler.spec.stream.clone(),
        publish: handler.spec.grants.publish.clone(),
        live: handler.spec.grants.live.clone(),
        asks: handler.spec.grants.request.clone(),
        bucket: handler.spec.publish.map(|View::Kv| Layout::new(app.clone()).bucket(&handler.spec.name)),
        secrets: Vec::new(),
        error: loaded.err().map(|error| error.to_string()),
    }
}

fn needed(secrets: &Secrets, handler: &HandlerConfig) -> Vec<Needed> {
    let granted = handler.spec.grants.secrets.iter();
    let missing = |name| secrets.read(name).err().map(|error| error.to_string());
    granted.map(|name| Needed { name: name.clone(), missing: missing(name) }).collect()
}

fn show(finding: &Finding) -> Result<()> {
    let Finding { handler, module, size_bytes, contract, imports, error, .. } = finding;
    if let Some(error) = error {
        return Ok(say!("{BAD}✗{END} {NAME}{handler}{END}  {module}: {error}")?);
    }
    let contract = contract.as_deref().unwrap_or("?");
    let size = size_bytes.div_ceil(1024);
    let asked: Vec<&str> = imports.iter().filter_map(|import| interface(import)).collect();
    let asked = match asked[..] {
        [] => String::new(),
        _ => format!(" {DIM}({}){END}", asked.join(", ")),
    };
    say!("{GOOD}✓{END} {NAME}{handler}{END}  {module}, {size} KiB, contract {contract}{asked}")?;
    show_borders(finding)
}

/// What crosses the border of the app's log.
fn show_borders(finding: &Finding) -> Result<()> {
    if let Some(stream) = &finding.stream {
        say!("    reads the stream {stream}, which the app does not own")?;
    }
    let listed = |patterns: &[Pattern]| patterns.iter().map(Pattern::as_str).collect::<Vec<_>>().join(", ");
    if !finding.publish.is_empty() {
        say!("    publishes outside, where a stream must keep it: {}", listed(&finding.publish))?;
    }
    if !finding.live.is_empty() {
        say!("    publishes outside, for whoever listens: {}", listed(&finding.live))?;
    }
    if !finding.asks.is_empty() {
        say!("    asks outside, whoever answers: {}", listed(&finding.asks))?;
    }
    if let Some(bucket) = &finding.bucket {
        say!("    shows its state in the KV bucket {bucket}")?;
    }
    for Needed { name, missing } in &finding.secrets {
        match missing {
            None => say!("    may read the secret {name}")?,
            Some(why) => say!("    {WARN}!{END} may read the secret {name}; on this machine {why}")?,
        }
    }
    Ok(())
}

/// The name of an interface of a contract; WASI's are left out, as every module has them.
fn interface(import: &str) -> Option<&str> {
    let (package, name) = import.split('@').next()?.split_once('/')?;
    let is_of_contract = matches!(package, "waxwing:events" | "wasmcloud:messaging" | "wasi:messaging");
    let name = Some(name).filter(|_| is_of_contract)?;
    (name != "types").then_some(name)
}
