//! `waxwing man`: the help of all commands as pages for `man`.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_mangen::Man;

use super::{
    General,
    output::{self, Output, say},
};

/// Writes manual pages: the help of all commands, for `man`
///
/// With `--dir` one page a command, such as waxwing-deploy.1; without it the page of waxwing itself, to standard output.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing man --dir ~/.local/share/man/man1\n  \
    waxwing man | man -l -")]
pub(super) struct Manual {
    /// The folder to write them to; it is made where there is none
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Manual {
    pub(super) fn execute(&self, general: &General) -> Result<ExitCode> {
        let mut command = super::command();
        command.build();
        let Some(dir) = &self.dir else {
            output::write_bytes(&page(&command)?)?;
            return Ok(ExitCode::SUCCESS);
        };
        fs::create_dir_all(dir).with_context(|| format!("the folder {} cannot be made", dir.display()))?;
        let mut written = Vec::new();
        for command in all(&command) {
            let man = Man::new(command.clone());
            let path = dir.join(man.get_filename());
            fs::write(&path, page(command)?)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            written.push(path);
        }
        match general.output {
            Output::Json => output::json(&written)?,
            Output::Text => say!("{} pages in {}", written.len(), dir.display())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .source(concat!("waxwing ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)
        .context("a manual page cannot be made")?;
    Ok(page)
}

/// A command and all below it that are not hidden.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    std::iter::once(command).chain(below.flat_map(all)).collect()
}
