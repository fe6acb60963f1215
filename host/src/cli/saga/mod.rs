//! `waxwing saga`: looks at the sagas that handlers keep in their state.

mod instance;
mod ls;
mod record;
mod show;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use waxwing_event::AppName;

use super::{General, place::Place};

/// Looks at sagas: how far each is, what has happened to it, what waits for it
///
/// A saga's instances are state of its handler, one a key. They are shown as of the last commit, also while no host
/// runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing saga ls\n  \
    waxwing saga ls purchase --status running\n  \
    waxwing saga show purchase order-4711")]
pub(super) struct Saga {
    /// The app [default: that of the manifest]
    #[arg(long, global = true, value_name = "NAME")]
    app: Option<AppName>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Ls),
    Show(show::Show),
}

impl Saga {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        match &self.command {
            Command::Ls(ls) => ls.execute(&place, general).await,
            Command::Show(show) => show.execute(&place, general).await,
        }
    }
}
