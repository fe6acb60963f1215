//! `waxwing dead`: looks at dead letters and decides what becomes of them.

mod archive;
mod dry_run;
mod edit;
mod letter;
mod ls;
mod redrive;
mod selection;
mod show;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use waxwing_event::AppName;

use super::{General, place::Place};

/// Looks at events that handlers could not handle, and decides what becomes of them
///
/// A dead letter with a key holds later events of its key, unless the manifest says otherwise: they wait until it
/// is redriven or archived. Dead letters are entries of the log, so all of this works while no host runs, too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing dead ls\n  \
    waxwing dead show catalog 17\n  \
    waxwing dead redrive catalog --all --dry-run\n  \
    waxwing dead redrive catalog --key tea\n  \
    waxwing dead archive catalog 17")]
pub(super) struct Dead {
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
    Redrive(redrive::Redrive),
    Edit(edit::Edit),
    Archive(archive::Archive),
}

impl Dead {
    pub(super) async fn execute(&self, general: &General) -> Result<ExitCode> {
        let place = Place::find(self.app.as_ref(), general).await?;
        match &self.command {
            Command::Ls(ls) => ls.execute(&place, general).await,
            Command::Show(show) => show.execute(&place, general).await,
            Command::Redrive(redrive) => redrive.execute(place, general).await,
            Command::Edit(edit) => edit.execute(&place, general).await,
            Command::Archive(archive) => archive.execute(&place, general).await,
        }
    }
}
