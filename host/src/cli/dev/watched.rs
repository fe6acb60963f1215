//! What is watched: the manifest, the sources of handler crates, modules that are files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::{
    config::Manifest,
    module::{self, ModuleSource, Sources},
};

/// A folder with this file is somebody's cache, such as cargo's output.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// What is watched. All paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// Folders of crates.
    folders: BTreeSet<PathBuf>,
    /// Files elsewhere.
    files: BTreeSet<PathBuf>,
    /// What lies in `folders` and is no source.
    outputs: BTreeSet<PathBuf>,
}

impl Watched {
    /// What this manifest's handlers are made of, and why cargo does not say all of it.
    pub(super) fn of(manifest: &Manifest) -> (Watched, Option<anyhow::Error>) {
        let handlers = &manifest.config.handlers;
        let crates: Vec<PathBuf> = handlers
            .iter()
            .filter_map(|handler| match &handler.module {
                ModuleSource::Crate(path) => Some(manifest.folder.join(path)),
                _ => None,
            })
            .collect();
        let (sources, error) = match module::sources(&crates) {
            Ok(sources) => (sources, None),
            Err(error) => (Sources::at_least(&crates), Some(error)),
        };
        let modules = handlers.iter().filter_map(|handler| match &handler.module {
            ModuleSource::File(path) => Some(manifest.folder.join(path)),
            _ => None,
        });
        let named = modules.chain([manifest.path.clone()]).filter_map(|file| absolute(&file));
        let Sources { folders, mut files, outputs } = sources;
        files.extend(named);
        (Watched { folders, files, outputs }, error)
    }

    /// The same and what is watched there.
    pub(super) fn and(mut self, more: Watched) -> Watched {
        self.folders.extend(more.folders);
        self.files.extend(more.files);
        self.outputs.extend(more.outputs);
        self
    }

    /// The folders in which something may change, each alone.
    pub(super) fn flat(&self) -> BTreeSet<PathBuf> {
        let beside = self.files.iter().filter_map(|file| file.parent().map(Path::to_owned));
        beside.chain(self.folders.iter().cloned()).filter(|folder| folder.is_dir()).collect()
    }

    /// The folders in which something may change at any depth.
    pub(super) fn deep(&self) -> BTreeSet<PathBuf> {
        let within = |folder: &PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = self.folders.iter().flat_map(within).map(|entry| entry.path());
        folders.filter(|path| path.is_dir() && !self.is_no_source(path)).collect()
    }

    /// True where a change of this path is one of what is watched.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        self.files.contains(path)
            || self.folders.iter().any(|folder| {
                path.strip_prefix(folder).is_ok_and(|below| {
                    below.components().all(is_plain)
                        && !below.ancestors().any(|part| self.is_no_source(&folder.join(part)))
                })
            })
    }

    /// True for what tools write there.
    fn is_no_source(&self, path: &Path) -> bool {
        let Some(Component::Normal(_)) = path.components().next_back() else { return true };
        !path.components().next_back().is_some_and(is_plain)
            || path.file_name().is_some_and(|name| name == "node_modules")
            || self.outputs.contains(path)
            || path.join(CACHE_TAG).is_file()
    }
}

/// Not hidden, and no file in which an editor keeps what is not written yet.
fn is_plain(part: Component<'_>) -> bool {
    let name = part.as_os_str().to_string_lossy();
    !(name.starts_with(['.', '#']) || name.ends_with('~') || name == "4913")
}

/// The absolute path of a file that need not be there.
fn absolute(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    Some(fs::canonicalize(folder).ok()?.join(file.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_what_tools_write() {
        let temp = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(temp.path()).unwrap();
        for folder in ["one/src/deep", "one/target/debug", "one/.git", "one/built", "one/node_modules"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("one/built/CACHEDIR.TAG"), "").unwrap();
        let watched = Watched {
            folders: [root.join("one")].into(),
            files: [root.join("waxwing.toml")].into(),
            outputs: [root.join("one/target")].into(),
        };
        assert_eq!(watched.deep(), [root.join("one/src")].into());
        assert_eq!(watched.flat(), [root.clone(), root.join("one")].into());
        for (path, concerns) in [
            ("waxwing.toml", true),
            ("other.toml", false),
            ("one/Cargo.toml", true),
            ("one/src/deep/a.rs", true),
            ("one/src/.a.rs.swp", false),
            ("one/src/a.rs~", false),
            ("one/src/4913", false),
            ("one/target/debug/x", false),
            ("one/built/x", false),
            ("one/node_modules/a/b.js", false),
            ("one/.git/index", false),
        ] {
            assert_eq!(watched.concerns(&root.join(path)), concerns, "{path}");
        }
    }
}
