//! `waxwing new`: an app, or a handler in one.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{
    General,
    output::{self, Output, say},
    style::{DIM, END, GOOD, NAME, TITLE},
};
use crate::{
    config::find,
    scaffold::{self, Made, Name, Sdk, Template},
};

/// Makes an app, or within an app another handler
///
/// An app is a folder of this name: a cargo workspace, a manifest, one handler with its tests, and the SDK's sources, which this
/// program carries. Where a manifest lies here or above, a handler of this name is added to that app: a crate beside the others,
/// and a section at the end of the manifest, in which everything else stays as it is. Nothing that is there is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing new shop\n  \
    waxwing new bank --template aggregate\n  \
    cd shop && waxwing new prices --template query\n  \
    waxwing new shop --sdk ~/src/waxwing")]
pub(super) struct New {
    /// The name of the app or handler: a-z, 0-9, `-` and `_`
    name: Name,
    /// What the handler begins as
    #[arg(long, short, value_enum, default_value_t)]
    template: Template,
    /// A checkout of Waxwing whose SDK is used, instead of the sources in this program
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    app: &'a str,
    handler: &'a str,
    template: Template,
    folder: &'a Path,
    made: Vec<&'a Path>,
    changed: Vec<&'a Path>,
    next: Vec<String>,
}

impl New {
    pub(super) fn execute(&self, general: &General) -> Result<ExitCode> {
        let sdk = self.sdk.as_deref().map(Sdk::of_checkout).transpose()?;
        let within = match &general.manifest {
            Some(given) => Some(find::manifest(Some(given))?),
            None => find::upwards(Path::new(find::FILE_NAME))?,
        };
        let (made, go) = match &within {
            Some(path) => (scaffold::handler(path, &self.name, self.template, sdk.as_ref())?, None),
            None => {
                let sdk = sdk.unwrap_or(Sdk::Vendored);
                (
                    scaffold::app(Path::new(""), &self.name, self.template, &sdk)?,
                    Some(format!("cd {}", self.name)),
                )
            }
        };
        made.files.write()?;
        let usual = ["waxwing test", "waxwing check", "waxwing run"].map(str::to_owned);
        let next = go.into_iter().chain(usual).chain(made.next.clone()).collect();
        match general.output {
            Output::Json => output::json(&Told {
                app: &made.app,
                handler: &made.handler,
                template: made.template,
                folder: &made.folder,
                made: made.files.new_paths().collect(),
                changed: made.files.changed_paths().collect(),
                next,
            })?,
            Output::Text => show(&made, within.is_none(), &next)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(made: &Made, is_app: bool, next: &[String]) -> Result<()> {
    let Made { app, handler, .. } = made;
    match is_app {
        true => say!("{GOOD}✓{END} made the app {NAME}{app}{END} with the handler {NAME}{handler}{END}")?,
        false => say!("{GOOD}✓{END} added the handler {NAME}{handler}{END} to the app {NAME}{app}{END}")?,
    }
    let vendor = Path::new("vendor");
    let is_vendored = |path: &&Path| path.iter().any(|part| part == vendor);
    for path in made.files.new_paths().filter(|path| !is_vendored(path)) {
        say!("  {}", shown(path))?;
    }
    if let Some(sdk) = made.files.new_paths().find(is_vendored) {
        let folder: PathBuf = sdk.iter().take_while(|part| *part != vendor).collect();
        let count = made.files.new_paths().filter(is_vendored).count();
        say!("  {}  {DIM}the SDK, {count} files{END}", shown(&folder.join(vendor)))?;
    }
    for path in made.files.changed_paths() {
        say!("  {}  {DIM}changed{END}", shown(path))?;
    }
    say!("\n{TITLE}next{END}")?;
    for command in next {
        match meaning(command) {
            Some(meaning) => say!("  {command:<16} {DIM}# {meaning}{END}")?,
            None => say!("  {command}")?,
        }
    }
    Ok(())
}

fn meaning(command: &str) -> Option<&'static str> {
    match command {
        "waxwing test" => Some("the tests, on the modules that hosts run"),
        "waxwing check" => Some("manifest and modules, without a server"),
        "waxwing run" => Some("runs the handlers on NATS; then, in another terminal:"),
        _ => None,
    }
}

/// A path as one sees it from here.
fn shown(path: &Path) -> String {
    let here = env::current_dir().and_then(std::fs::canonicalize);
    let near = here.ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    near.unwrap_or_else(|| path.to_owned()).display().to_string()
}
