//! The bytes of each handler's module, with crates built first.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use cap_std::{ambient_authority, fs::Dir};

use super::{Attempt, Built, ModuleSource, Progress, build_what_builds, build_with};

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
    let crates = crates(folder, sources);
    let built = if crates.is_empty() { Built::new() } else { build_with(&crates, progress)? };
    let reader = Reader::new(folder, built, fetched)?;
    sources.iter().map(|source| reader.read(source)).collect()
}

/// What could be had of the modules of several handlers.
#[derive(Debug)]
pub struct Gathered {
    /// The modules of these sources, in their order; none of a crate that does not build.
    pub modules: Vec<Option<Module>>,
    /// Why crates do not build, as the compiler shows it.
    pub failed: Option<String>,
    /// Why modules cannot be read that should be there.
    pub unread: Vec<(ModuleSource, anyhow::Error)>,
}

/// Reads those of the modules that can be had, as [`gather`] does.
pub fn gather_what_builds(
    folder: &Path,
    sources: &[ModuleSource],
    fetched: &BTreeMap<ModuleSource, Module>,
    progress: &dyn Progress,
) -> Result<Gathered> {
    let crates = crates(folder, sources);
    let attempt = if crates.is_empty() { Attempt::default() } else { build_what_builds(&crates, progress)? };
    let reader = Reader::new(folder, attempt.built, fetched)?;
    let (mut modules, mut unread) = (Vec::with_capacity(sources.len()), Vec::new());
    for source in sources {
        let read = if reader.is_missing(source) { Ok(None) } else { reader.read(source).map(Some) };
        modules.push(read.unwrap_or_else(|error| {
            unread.push((source.clone(), error));
            None
        }));
    }
    Ok(Gathered { modules, failed: attempt.failed, unread })
}

fn crates(folder: &Path, sources: &[ModuleSource]) -> Vec<PathBuf> {
    let of_crate = |source: &ModuleSource| match source {
        ModuleSource::Crate(path) => Some(folder.join(path)),
        ModuleSource::File(_) | ModuleSource::Stored(_) | ModuleSource::Registry(_) => None,
    };
    sources.iter().filter_map(of_crate).collect()
}

/// Reads modules.
struct Reader<'a> {
    folder: &'a Path,
    dir: Dir,
    built: Built,
    fetched: &'a BTreeMap<ModuleSource, Module>,
}

impl<'a> Reader<'a> {
    fn new(
        folder: &'a Path,
        built: Built,
        fetched: &'a BTreeMap<ModuleSource, Module>,
    ) -> Result<Reader<'a>> {
        let dir = Dir::open_ambient_dir(folder, ambient_authority());
        let dir = dir.with_context(|| format!("the folder {} cannot be opened", folder.display()))?;
        Ok(Reader { folder, dir, built, fetched })
    }

    /// True for a crate that was not built.
    fn is_missing(&self, source: &ModuleSource) -> bool {
        matches!(source, ModuleSource::Crate(path) if !self.built.contains_key(&self.folder.join(path)))
    }

    fn read(&self, source: &ModuleSource) -> Result<Module> {
        match source {
            ModuleSource::Stored(_) | ModuleSource::Registry(_) => {
                let fetched = self.fetched.get(source).cloned();
                fetched.with_context(|| format!("the module {source} was not fetched"))
            }
            ModuleSource::File(path) | ModuleSource::Crate(path) => {
                read(&self.dir, &self.built, self.folder, (source, path))
            }
        }
    }
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
