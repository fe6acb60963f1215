//! Programs from npm packages, by a lock file, each set in a folder of its own beside the build's other files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::once::{self, target_folder};

/// Installs what the `package.json` in a folder names, as its lock file says, where it is not there yet; gives the
/// folder of its programs. Blocks.
pub fn installed(package: &Path) -> PathBuf {
    let folder = target_folder().join("npm").join(package.file_name().unwrap());
    let wanted = fs::read_to_string(package.join("package-lock.json")).unwrap();
    once::made(&folder, &wanted, || {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(package.join(file), folder.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        let fetched = npm.status().is_ok_and(|status| status.success());
        assert!(fetched, "the packages of {} are missing: run `{npm:?}` and try again", package.display());
    });
    folder.join("node_modules/.bin")
}
