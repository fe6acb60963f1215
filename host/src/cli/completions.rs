//! `waxwing completions`: what lets a shell complete commands and options.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use super::output;

/// Writes what lets a shell complete commands and options
///
/// To standard output: where it belongs depends on the shell. It fits the version that has written it, so write it anew with
/// each one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing completions bash > ~/.local/share/bash-completion/completions/waxwing\n  \
    waxwing completions zsh > ~/.zfunc/_waxwing\n  \
    waxwing completions fish > ~/.config/fish/completions/waxwing.fish\n  \
    waxwing completions powershell >> $PROFILE\n  \
    waxwing completions elvish >> ~/.config/elvish/rc.elv")]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(&self) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "waxwing", &mut script);
        output::write_bytes(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
