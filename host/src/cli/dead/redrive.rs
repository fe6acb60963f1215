//! `waxwing dead redrive`: dead letters run again.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use waxwing_engine::entry::operator;

use super::{
    dry_run,
    letter::{Decision, decide_each},
    selection::Selection,
};
use crate::cli::{General, place::Place};

/// Runs dead letters again: one, several, a key in its order, a group, all
///
/// Each is parked in its old place, due at once and with all its attempts before it; those of a key run in their
/// order, and what waited behind them follows. Oldest first, each in a commit of its own. A letter about which
/// somebody else decides meanwhile is skipped.
///
/// With --dry-run each letter is run against the manifest's module and the state as it is now, and what it would do
/// is shown; nothing is written, and the exit code is 1 where one would fail again.
#[derive(Debug, Args)]
#[command(override_usage = "waxwing dead redrive [OPTIONS] <HANDLER> <POSITION|ID>...\n       \
        waxwing dead redrive [OPTIONS] <HANDLER> <--key <KEY>|--kind <KIND>|--reason <TEXT>|--all>")]
#[command(after_help = "Examples:\n  \
    waxwing dead redrive catalog 17\n  \
    waxwing dead redrive catalog 17 order-4711 --dry-run\n  \
    waxwing dead redrive catalog --key tea\n  \
    waxwing dead redrive catalog --kind deadline --reason \"ran longer\"\n  \
    waxwing dead redrive catalog --all")]
pub(super) struct Redrive {
    #[command(flatten)]
    selection: Selection,
    /// Shows what each would do and writes nothing
    #[arg(long)]
    dry_run: bool,
}

impl Redrive {
    pub(super) async fn execute(&self, place: Place, general: &General) -> Result<ExitCode> {
        let letters = self.selection.find(&place).await?;
        if self.dry_run {
            return dry_run::execute(place, &self.selection.handler, letters, general).await;
        }
        let max_bytes = place.log.max_entry_bytes();
        decide_each(&place, letters, Decision::Redriven, general, |entry, letter| {
            operator::redrive(&place.layout, entry, letter, Timestamp::now(), max_bytes)
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}
