//! Where the sources lie that crates are built of, as cargo knows them: their own, and those of the crates that they
//! depend on by path.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package, PackageId};

use super::workspace::{Depth, metadata};

/// Files of a workspace's root that change a build.
const OF_WORKSPACES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "rust-toolchain"];

/// What crates are built of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The folders of crates.
    pub folders: BTreeSet<PathBuf>,
    /// Files beside them, which need not be there.
    pub files: BTreeSet<PathBuf>,
    /// Where cargo writes: no sources.
    pub outputs: BTreeSet<PathBuf>,
}

/// What the crates in these folders are built of. All paths are absolute.
pub fn sources(crates: &[PathBuf]) -> Result<Sources> {
    let manifest = |folder: &PathBuf| {
        let manifest = fs::canonicalize(folder.join("Cargo.toml"));
        manifest.with_context(|| format!("there is no crate at {}", folder.display()))
    };
    let mut left = crates.iter().map(manifest).collect::<Result<BTreeSet<_>>>()?;
    let mut sources = Sources::default();
    while let Some(first) = left.first().cloned() {
        let metadata = metadata(&first, Depth::Dependencies)?;
        sources.add(&metadata, &mut left);
        left.remove(&first);
    }
    Ok(sources)
}

impl Sources {
    /// The folders of these crates alone, where cargo does not say more.
    pub fn at_least(crates: &[PathBuf]) -> Sources {
        let folders: BTreeSet<_> = crates.iter().filter_map(|folder| fs::canonicalize(folder).ok()).collect();
        let outputs = folders.iter().map(|folder| folder.join("target")).collect();
        Sources { folders, outputs, ..Sources::default() }
    }

    /// Adds what cargo says of one workspace; takes its members out of `left`.
    fn add(&mut self, metadata: &Metadata, left: &mut BTreeSet<PathBuf>) {
        let packages: BTreeMap<&PackageId, &Package> =
            metadata.packages.iter().map(|package| (&package.id, package)).collect();
        let needs: BTreeMap<&PackageId, &[PackageId]> = metadata
            .resolve
            .iter()
            .flat_map(|resolve| &resolve.nodes)
            .map(|node| (&node.id, node.dependencies.as_slice()))
            .collect();
        let mut open: Vec<&PackageId> = Vec::new();
        for package in &metadata.packages {
            if fs::canonicalize(&package.manifest_path).is_ok_and(|manifest| left.remove(&manifest)) {
                open.push(&package.id);
            }
        }
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            let Some(package) = packages.get(id).filter(|package| package.source.is_none()) else { continue };
            if seen.insert(id) {
                self.folders
                    .extend(package.manifest_path.parent().and_then(|folder| absolute(folder.as_std_path())));
                open.extend(needs.get(id).copied().unwrap_or_default());
            }
        }
        let root = absolute(metadata.workspace_root.as_std_path());
        self.files.extend(root.iter().flat_map(|root| OF_WORKSPACES.map(|name| root.join(name))));
        // It need not be there yet.
        let target = metadata.target_directory.as_std_path();
        self.outputs.insert(absolute(target).unwrap_or_else(|| target.to_owned()));
    }
}

fn absolute(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}
