//! Files that are to be written: all of them, or, where one of them is there already, none.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Files by their paths.
#[derive(Debug, Default)]
pub struct Files {
    new: BTreeMap<PathBuf, String>,
    /// Files that are there, and what they become; written last, in this order.
    changed: Vec<(PathBuf, String)>,
}

impl Files {
    /// Adds a file that must not be there.
    pub(super) fn add(&mut self, path: PathBuf, text: String) {
        self.new.insert(path, text);
    }

    /// Changes a file that is there.
    pub(super) fn change(&mut self, path: PathBuf, text: String) {
        self.changed.push((path, text));
    }

    /// The paths of new files.
    pub fn new_paths(&self) -> impl Iterator<Item = &Path> {
        self.new.keys().map(PathBuf::as_path)
    }

    /// The paths of files that change.
    pub fn changed_paths(&self) -> impl Iterator<Item = &Path> {
        self.changed.iter().map(|(path, _)| path.as_path())
    }

    /// Writes them.
    pub fn write(&self) -> Result<()> {
        if let Some(path) = self.new_paths().find(|path| path.symlink_metadata().is_ok()) {
            bail!(
                "{} is there already, and nothing was written: choose another name, or move it away",
                path.display()
            );
        }
        for (path, text) in &self.new {
            let write = || {
                fs::create_dir_all(path.parent().unwrap_or(path))?;
                // Not through a link that somebody has put there meanwhile.
                OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
            };
            write().with_context(|| format!("{} cannot be written", path.display()))?;
        }
        for (path, text) in &self.changed {
            fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }
}
