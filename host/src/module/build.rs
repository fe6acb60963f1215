//! Builds handler crates: one cargo call a workspace; cargo decides what has changed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use cargo_metadata::Message;

use super::{
    target::{self, TARGET},
    workspace::{self, Workspace},
};

/// A guest that never grows its memory starts fastest: a small stack, and memory enough from the start.
const LINK_FLAGS: &str = "-C link-arg=-zstack-size=65536 -C link-arg=--initial-memory=131072";

const PROFILE: [&str; 7] = [
    "profile.handler.inherits=\"release\"",
    "profile.handler.opt-level=3",
    "profile.handler.lto=true",
    "profile.handler.codegen-units=1",
    "profile.handler.panic=\"abort\"",
    "profile.handler.strip=\"debuginfo\"",
    "profile.handler.debug=false",
];

/// Watches a build.
pub trait Progress: Sync {
    /// What cargo is doing, such as `Compiling serde v1.0.0`; the next replaces it.
    fn status(&self, text: &str);

    /// Something that should stay on the screen.
    fn line(&self, text: &str);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn status(&self, _: &str) {}
    fn line(&self, _: &str) {}
}

/// What a build gave: the `.wasm` file of each crate's folder.
pub type Built = BTreeMap<PathBuf, PathBuf>;

/// Builds the crates in these folders.
pub fn build(crates: &[PathBuf]) -> Result<Built> {
    build_with(crates, &Silent)
}

/// Builds the crates in these folders, watched by `progress`. Compile errors are in the error, as the
/// compiler shows them; warnings go to `progress`.
pub fn build_with(crates: &[PathBuf], progress: &dyn Progress) -> Result<Built> {
    let mut built = Built::new();
    for workspace in workspace::group(crates)? {
        built.extend(build_workspace(&workspace, progress)?);
    }
    name_all(crates, &mut built);
    match crates.iter().find(|folder| !built.contains_key(*folder)) {
        Some(folder) => bail!("the crate at {} was not built", folder.display()),
        None => Ok(built),
    }
}

/// A folder that was given under two names has been built once.
fn name_all(crates: &[PathBuf], built: &mut Built) {
    for folder in crates {
        let same = |other: &PathBuf| fs::canonicalize(other).ok() == fs::canonicalize(folder).ok();
        let found = built.iter().find(|(other, _)| *other == folder || same(other));
        if let Some(wasm) = found.map(|(_, wasm)| wasm.clone()) {
            built.insert(folder.clone(), wasm);
        }
    }
}

/// What a build gave that went on where a crate did not build.
#[derive(Debug, Default)]
pub struct Attempt {
    /// The modules of the crates that built.
    pub built: Built,
    /// Why the others did not, as the compiler shows it.
    pub failed: Option<String>,
}

/// Builds those of the crates in these folders that build, watched by `progress`.
pub fn build_what_builds(crates: &[PathBuf], progress: &dyn Progress) -> Result<Attempt> {
    let mut built = Built::new();
    let mut failed = Vec::new();
    for workspace in workspace::group(crates)? {
        let run = run(&workspace, progress, AfterAnError::GoOn)?;
        for folder in workspace.packages.values() {
            match run.module_of(folder) {
                Ok(wasm) => drop(built.insert(folder.clone(), wasm)),
                Err(error) if run.success => failed.push(format!("{error:#}")),
                // The compiler has said why.
                Err(_) => {}
            }
        }
        match run.diagnostics.trim_end() {
            "" => {}
            said if run.success => progress.line(said),
            said => failed.push(said.to_owned()),
        }
    }
    name_all(crates, &mut built);
    let failed = (!failed.is_empty()).then(|| failed.join("\n"));
    Ok(Attempt { built, failed })
}

/// What cargo does after a crate that does not build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterAnError {
    Stop,
    GoOn,
}

/// Runs cargo; adds the wasm target where that is what was missing.
fn run(workspace: &Workspace, progress: &dyn Progress, after: AfterAnError) -> Result<Run> {
    let run = run_cargo(workspace, progress, after)?;
    if run.success || target::is_installed(&workspace.root) {
        return Ok(run);
    }
    target::install(&workspace.root, progress)?;
    run_cargo(workspace, progress, after)
}

fn build_workspace(workspace: &Workspace, progress: &dyn Progress) -> Result<Built> {
    let run = run(workspace, progress, AfterAnError::Stop)?;
    if !run.success {
        bail!("the handlers do not build:\n{}", run.diagnostics.trim_end());
    }
    if !run.diagnostics.trim().is_empty() {
        progress.line(run.diagnostics.trim_end());
    }
    workspace.packages.values().map(|folder| Ok((folder.clone(), run.module_of(folder)?))).collect()
}

/// A finished cargo call.
struct Run {
    success: bool,
    diagnostics: String,
    /// `.wasm` files by the manifest of their package.
    modules: BTreeMap<PathBuf, PathBuf>,
}

impl Run {
    fn module_of(&self, folder: &Path) -> Result<PathBuf> {
        let manifest = fs::canonicalize(folder.join("Cargo.toml"))?;
        self.modules.get(&manifest).cloned().ok_or_else(|| {
            anyhow!(
                "the crate at {} builds no module: add `[lib]` with `crate-type = [\"cdylib\"]`",
                folder.display()
            )
        })
    }
}

fn run_cargo(workspace: &Workspace, progress: &dyn Progress, after: AfterAnError) -> Result<Run> {
    let started = command(workspace, after).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.context("cargo cannot be started: install Rust, see https://rustup.rs")?;
    let stderr = child.stderr.take().context("cargo has no standard error")?;
    let (modules, diagnostics) = thread::scope(|scope| {
        let diagnostics = scope.spawn(|| watch(BufReader::new(stderr), progress));
        let modules = modules(&mut child);
        (modules, diagnostics.join())
    });
    let status = child.wait().context("cargo did not end in good order")?;
    let diagnostics = diagnostics.map_err(|_| anyhow!("the output of cargo was lost"))?;
    Ok(Run { success: status.success(), diagnostics, modules: modules? })
}

fn command(workspace: &Workspace, after: AfterAnError) -> Command {
    let mut command = target::cargo(&workspace.root);
    command.env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", LINK_FLAGS);
    command.args([
        "build",
        "--target",
        TARGET,
        "--profile",
        "handler",
        "--message-format=json-render-diagnostics",
    ]);
    let colour = if anstream::AutoStream::choice(&std::io::stderr()) == anstream::ColorChoice::Never {
        "never"
    } else {
        "always"
    };
    command.args(["--color", colour]);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    if after == AfterAnError::GoOn {
        command.arg("--keep-going");
    }
    for package in workspace.packages.keys() {
        command.args(["-p", package]);
    }
    command
}

fn modules(child: &mut Child) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    let mut modules = BTreeMap::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        let Message::CompilerArtifact(artifact) = message.context("the output of cargo cannot be read")?
        else {
            continue;
        };
        if let Some(wasm) = artifact.filenames.iter().find(|file| file.extension() == Some("wasm")) {
            let manifest = fs::canonicalize(&artifact.manifest_path)?;
            modules.insert(manifest, wasm.clone().into_std_path_buf());
        }
    }
    Ok(modules)
}

/// Tells what cargo does, and gives back everything else that it wrote.
fn watch(stderr: impl BufRead, progress: &dyn Progress) -> String {
    let mut diagnostics = String::new();
    for line in stderr.lines().map_while(Result::ok) {
        let plain = anstream::adapter::strip_str(&line).to_string();
        if is_status(&plain) {
            progress.status(plain.trim());
        } else {
            diagnostics.push_str(&line);
            diagnostics.push('\n');
        }
    }
    diagnostics
}

/// Cargo sets the word of what it does to the right within twelve columns.
fn is_status(line: &str) -> bool {
    let word = line.trim_start().split(' ').next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    indent + word.len() == 12 && word.chars().next().is_some_and(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_status_from_diagnostics() {
        for line in [
            "   Compiling serde v1.0.0",
            "    Finished `handler` profile",
            "    Blocking waiting for file lock",
        ] {
            assert!(is_status(line), "{line}");
        }
        for line in ["error[E0425]: cannot find value", "  --> src/lib.rs:1:1", "   |", ""] {
            assert!(!is_status(line), "{line}");
        }
    }
}
