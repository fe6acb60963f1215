//! `waxwing inspect`: what a module is, what it needs, what it costs.

mod found;
mod measure;
mod needs;
mod report;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use waxwing_event::AppName;
use waxwing_log::jetstream::modules::digest_of;
use waxwing_sandbox::Anatomy;

use self::{
    measure::{Bench, Times},
    report::Report,
};
use super::{
    General,
    output::{self, Output},
};

/// Looks into a module: its contract, what it needs, its size, its memory, how fast it starts
///
/// Nothing that the module does is written anywhere. To see how fast it starts, it is run on an event of the type
/// `waxwing.inspect` with `{}` as its data, on an empty state; most handlers reject that, and the times are those of a run all the
/// same. Exits with 1 where the module is no handler that this host can run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing inspect basket\n  \
    waxwing inspect target/basket.wasm --output json\n  \
    waxwing inspect oci://registry.example/shop/basket:1.2.0\n  \
    waxwing inspect sha256:0f3a… --app shop")]
pub(super) struct Inspect {
    /// The module: a handler of the manifest, a crate's folder, a .wasm file, sha256:… of the app's store, or oci://…
    module: String,
    /// The app in whose store a digest is looked for [default: the manifest's]
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
}

impl Inspect {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let found = found::find(&self.module, self.app.as_ref(), general).await?;
        let anatomy = Anatomy::of(&found.bytes).with_context(|| found.from.clone())?;
        let contract = waxwing_sandbox::check(&found.bytes);
        let times = match &contract {
            Ok(contract) => Some(tokio::task::block_in_place(|| {
                let bench = Bench::new(&found, contract.memory_bytes)?;
                bench.measure(&found.bytes)
            })),
            Err(_) => None,
        };
        let (times, refused) = match (times, contract.as_ref().err()) {
            (Some(Ok(times)), _) => (Some(times), None),
            (Some(Err(error)), _) => (None, Some(format!("{error:#}"))),
            (None, refused) => (None, refused.map(ToString::to_string)),
        };
        let report = Report::new(&found, digest_of(&found.bytes), &anatomy, contract.ok(), times, refused);
        match general.output {
            Output::Json => output::json(&report)?,
            Output::Text => report.show()?,
        }
        Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
