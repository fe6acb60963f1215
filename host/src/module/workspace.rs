//! Which crates lie in one workspace, so that one cargo call builds them all.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use cargo_metadata::MetadataCommand;

use super::target::cargo;

/// Crates of one workspace.
#[derive(Debug)]
pub(super) struct Workspace {
    /// Its root.
    pub(super) root: PathBuf,
    /// Package names, each with its crate's folder as it was given.
    pub(super) packages: BTreeMap<String, PathBuf>,
}

/// Groups crates by workspace.
pub(super) fn group(crates: &[PathBuf]) -> Result<Vec<Workspace>> {
    let mut left: Vec<(PathBuf, PathBuf)> = Vec::new();
    for folder in crates {
        let manifest = fs::canonicalize(folder.join("Cargo.toml"));
        let manifest = manifest.with_context(|| format!("there is no crate at {}", folder.display()))?;
        if !left.iter().any(|(known, _)| *known == manifest) {
            left.push((manifest, folder.clone()));
        }
    }
    let mut workspaces = Vec::new();
    while let Some((first, _)) = left.first().cloned() {
        let workspace = workspace_of(&first, &mut left)?;
        workspaces.push(workspace);
    }
    Ok(workspaces)
}

/// The workspace of the crate `first`, with all others of `left` that lie in it; those are taken out.
fn workspace_of(first: &Path, left: &mut Vec<(PathBuf, PathBuf)>) -> Result<Workspace> {
    let metadata = metadata(first, Depth::Members)?;
    let mut packages = BTreeMap::new();
    left.retain(|(manifest, folder)| {
        let package = metadata
            .packages
            .iter()
            .find(|p| fs::canonicalize(&p.manifest_path).ok().as_ref() == Some(manifest));
        if let Some(package) = package {
            packages.insert(package.name.to_string(), folder.clone());
        }
        package.is_none()
    });
    if packages.is_empty() {
        bail!("{} is no member of its workspace: add it to `members` there", first.display());
    }
    Ok(Workspace { root: metadata.workspace_root.into_std_path_buf(), packages })
}

/// What cargo is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The members of the workspace alone.
    Members,
    /// All that they depend on, too.
    Dependencies,
}

/// What cargo says of the crate of this manifest and its workspace.
pub(super) fn metadata(manifest: &Path, depth: Depth) -> Result<cargo_metadata::Metadata> {
    let mut command = MetadataCommand::new();
    command.manifest_path(manifest);
    if depth == Depth::Members {
        command.no_deps();
    }
    let mut process = cargo(manifest.parent().unwrap_or(manifest));
    let arguments = command.cargo_command();
    process.args(arguments.get_args());
    let output = process.output().context("cargo cannot be started: install Rust, see https://rustup.rs")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("error: ").to_owned();
        return Err(anyhow!("{said}").context(format!("cargo does not take {}", manifest.display())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    MetadataCommand::parse(text.as_ref()).context("the answer of cargo metadata cannot be read")
}
