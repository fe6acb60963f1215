//! The bytes of each handler's module, with crates built first.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
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

/// Reads the modules of these sources, in their order; builds crates where their sources changed. `fetched` are those that
/// are not on this machine.
pub fn gather(
    folder: &Path,
    sources: &[ModuleSource],
    fetched: &BTreeMap<ModuleSource, Module>,
    progress: &dyn Progress,
) -> Result<Vec<Module>> {
    let crates: Vec<PathBuf> = sources
        .iter()
        .filter_map(|source| match source {
            ModuleSource::Crate(path) => Some(folder.join(path)),
            ModuleSource::File(_) | ModuleSource::Stored(_) | ModuleSource::Registry(_) => None,
        })
        .collect();
    let built = if crates.is_empty() { Built::new() } else { build_with(&crates, progress)? };
    let dir = Dir::open_ambient_dir(folder, ambient_authority());
    let dir = dir.with_context(|| format!("the folder {} cannot be opened", folder.display()))?;
    let read = |source: &ModuleSource| match source {
        ModuleSource::Stored(_) | ModuleSource::Registry(_) => {
            fetched.get(source).cloned().with_context(|| format!("the module {source} was not fetched"))
        }
        ModuleSource::File(path) => read(&dir, &built, folder, (source, path)),
        ModuleSource::Crate(path) => read(&dir, &built, folder, (source, path)),
    };
    sources.iter().map(read).collect()
}

fn read(dir: &Dir, built: &Built, folder: &Path, (source, path): (&ModuleSource, &Path)) -> Result<Module> {
    let bytes = match built.get(&folder.join(path)) {
        // Cargo says where its output lies, which need not be in the manifest's folder.
        Some(wasm) => fs::read(wasm),
        None if matches!(source, ModuleSource::Crate(_)) => bail!("the crate {source} was not built"),
        None => dir.read(path),
    };
    let bytes = bytes.with_context(|| format!("the module of {source} cannot be read"))?;
    Ok(Module { source: source.clone(), bytes: bytes.into() })
}
