//! Where the manifest lies: beside the caller or above.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The manifest's name.
pub const FILE_NAME: &str = "waxwing.toml";

/// The manifest at `given` (a file or a folder), else the nearest one from the current folder upwards.
pub fn manifest(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(if given.is_dir() { given.join(FILE_NAME) } else { given.to_owned() });
    }
    upwards(Path::new(FILE_NAME))?.with_context(|| {
        format!("there is no {FILE_NAME} here or in a folder above: go to your app's folder, or name it with --manifest")
    })
}

/// The nearest `name` from the current folder upwards, as a path from the current folder.
pub fn upwards(name: &Path) -> Result<Option<PathBuf>> {
    let here = env::current_dir().context("the current folder cannot be read")?;
    if !here.is_absolute() {
        bail!("the current folder has no absolute path");
    }
    let mut way = PathBuf::new();
    for _ in here.ancestors() {
        let candidate = way.join(name);
        if candidate.is_file() {
            return Ok(Some(candidate));
        }
        way.push("..");
    }
    Ok(None)
}
