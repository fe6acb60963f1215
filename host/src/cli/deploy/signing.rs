//! Who signs what is deployed.

use std::{env, path::PathBuf};

use anyhow::Result;
use clap::Args;
use waxwing_engine::entry::version::Signature;

use crate::signature::{Claim, Signer};

/// A seed itself, for where there are no files: it is never on a command line, which others see.
const SEED_VARIABLE: &str = "WAXWING_SIGN_SEED";

/// Who signs what is deployed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Signing {
    /// Sign with the nkey whose seed is in this file; several sign when it is repeated [env: WAXWING_SIGN, or the seed
    /// itself in WAXWING_SIGN_SEED]
    #[arg(long = "sign", env = "WAXWING_SIGN", hide_env = true, value_name = "SEED_FILE")]
    seeds: Vec<PathBuf>,
}

impl Signing {
    /// The signers, each once.
    pub(in crate::cli) fn signers(&self) -> Result<Vec<Signer>> {
        let mut signers = Vec::new();
        for file in &self.seeds {
            signers.push(Signer::of_file(file)?);
        }
        if let Ok(seed) = env::var(SEED_VARIABLE) {
            signers.push(Signer::of_text(&seed, SEED_VARIABLE)?);
        }
        signers.sort_by(|a, b| a.public().cmp(b.public()));
        signers.dedup_by(|a, b| a.public() == b.public());
        Ok(signers)
    }
}

/// The signatures of all of them.
pub(in crate::cli) fn sign(signers: &[Signer], claim: &Claim<'_>) -> Result<Vec<Signature>> {
    Ok(signers.iter().map(|signer| signer.sign(claim)).collect::<Result<_, _>>()?)
}
