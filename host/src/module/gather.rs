//! The bytes of each handler's module, with crates built first.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use cap_std::{ambient_authority, fs::Dir};

use super::{Built, ModuleSource, Progress, build_with};

/// A module, read.
#[derive(Debug, Clone)]
pub struct Module {
    /// Where it came from.
    pub source: ModuleSource,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// Reads the modules of these sources, in their order; builds crates where their sources changed.
pub fn gather(folder: &Path, sources: &[ModuleSource], progress: &dyn Progress) -> Result<Vec<Module>> {
    let crates: Vec<PathBuf> = sources
        .iter()
        .filter_map(|source| match source {
            ModuleSource::Crate(path) => Some(folder.join(path)),
            ModuleSource::File(_) => None,
        })
        .collect();
    let built = if crates.is_empty() { Built::new() } else { build_with(&crates, progress)? };
    let dir = Dir::open_ambient_dir(folder, ambient_authority());
    let dir = dir.with_context(|| format!("the folder {} cannot be opened", folder.display()))?;
    sources.iter().map(|source| read(folder, &dir, &built, source)).collect()
}

fn read(folder: &Path, dir: &Dir, built: &Built, source: &ModuleSource) -> Result<Module> {
    let bytes = match source {
        ModuleSource::File(path) => dir.read(path),
        // Cargo says where its output lies, which need not be in the manifest's folder.
        ModuleSource::Crate(path) => {
            let wasm =
                built.get(&folder.join(path)).with_context(|| format!("the crate {source} was not built"))?;
            fs::read(wasm)
        }
    };
    let bytes = bytes.with_context(|| format!("the module of {source} cannot be read"))?;
    Ok(Module { source: source.clone(), bytes: bytes.into() })
}
