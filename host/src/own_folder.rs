//! The folder `.waxwing` beside the manifest, which only this user may enter: compiled code, and which host
//! this is.

use std::path::Path;

use anyhow::{Context, Result};
use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder},
};

use crate::identity::Identity;

/// The host's own folder.
#[derive(Debug)]
pub struct OwnFolder {
    dir: Dir,
}

impl OwnFolder {
    /// The folder `.waxwing` in `folder`; made where there is none.
    pub fn open(folder: &Path) -> Result<OwnFolder> {
        let open = || {
            let beside = Dir::open_ambient_dir(folder, ambient_authority())?;
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            beside.create_dir_with(".waxwing", &builder)?;
            let dir = beside.open_dir(".waxwing")?;
            close_to_others(&dir)?;
            std::io::Result::Ok(OwnFolder { dir })
        };
        open().with_context(|| format!("the folder {} cannot be used", folder.join(".waxwing").display()))
    }

    /// Where compiled code is kept.
    pub fn cache(&self) -> Result<Dir> {
        let open = || {
            self.dir.create_dir_all("cache")?;
            self.dir.open_dir("cache")
        };
        open().context("the folder .waxwing/cache beside the manifest cannot be used")
    }

    /// An id that no running host of this folder has.
    pub fn identity(&self) -> Result<Identity> {
        Identity::claim(&self.dir)
    }
}

/// What lies in the cache is run as it is, so nobody else may write there, whoever has made the folder.
#[cfg(unix)]
fn close_to_others(dir: &Dir) -> std::io::Result<()> {
    use cap_std::fs::{Permissions, PermissionsExt};
    dir.set_permissions(".", Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn close_to_others(_: &Dir) -> std::io::Result<()> {
    Ok(())
}
