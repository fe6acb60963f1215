//! `waxwing dead archive`: dead letters are put away.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use waxwing_engine::entry::operator;

use super::{
    letter::{Decision, decide_each},
    selection::Selection,
};
use crate::cli::{General, place::Place};

/// Puts dead letters away: their events are given up, and what waited behind them goes on
///
/// They can be looked at with `waxwing dead ls --archived` for as long as the log keeps events.
#[derive(Debug, Args)]
#[command(override_usage = "waxwing dead archive [OPTIONS] <HANDLER> <POSITION|ID>...\n       \
        waxwing dead archive [OPTIONS] <HANDLER> <--key <KEY>|--kind <KIND>|--reason <TEXT>|--all>")]
#[command(after_help = "Examples:\n  \
    waxwing dead archive catalog 17\n  \
    waxwing dead archive catalog --key tea\n  \
    waxwing dead archive catalog --all")]
pub(super) struct Archive {
    #[command(flatten)]
    selection: Selection,
}

impl Archive {
    pub(super) async fn execute(&self, place: &Place, general: &General) -> Result<ExitCode> {
        let letters = self.selection.find(place).await?;
        let max_bytes = place.log.max_entry_bytes();
        decide_each(place, letters, Decision::Archived, general, |entry, letter| {
            operator::archive(&place.layout, entry, letter, max_bytes)
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}
