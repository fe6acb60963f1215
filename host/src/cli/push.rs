//! `waxwing push`: a module into a registry.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use waxwing_event::Digest;
use waxwing_log::jetstream::modules::{MAX_MODULE_BYTES, digest_of};

use super::{
    General,
    deploy::plan::{local_module, short},
    output::{self, Output, say},
    style::{END, GOOD},
};
use crate::registry::{self, Address};

/// Pushes a module into a registry, from which others deploy it
///
/// The module is an artefact as the tools for WebAssembly share them: its config is of the type
/// application/vnd.wasm.config.v0+json, its one layer of application/wasm. Credentials are those of `docker login`.
/// Registries on this machine, and those that WAXWING_OCI_PLAIN_HTTP names, are spoken to without TLS.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing push target/basket.wasm oci://registry.example/shop/basket:1.2.0\n  \
    waxwing push handlers/basket oci://localhost:5000/basket:dev")]
pub(super) struct Push {
    /// The module: a crate's folder or a .wasm file
    module: String,
    /// Where to: oci://registry/repository:tag
    address: Address,
}

/// What was pushed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    module: Digest,
    bytes: u64,
    /// Where it is for ever.
    address: String,
}

impl Push {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        if self.address.tag().is_none() {
            bail!("{} names a digest, which what is pushed gets by itself: name a tag", self.address);
        }
        let path = local_module(&self.module)?;
        let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let size = bytes.len() as u64;
        if size > MAX_MODULE_BYTES {
            bail!("{} has {size} bytes: at most {MAX_MODULE_BYTES} are taken", self.module);
        }
        waxwing_sandbox::check(&bytes).with_context(|| format!("{} is no handler", self.module))?;
        let address = registry::push(&self.address, &bytes).await?;
        let pushed = Pushed { module: digest_of(&bytes), bytes: size, address: address.to_string() };
        match general.output {
            Output::Json => output::json(&pushed)?,
            Output::Text => {
                say!("{GOOD}✓{END} {}, {}: {}", self.address, short(pushed.module), pushed.address)?
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
