//! Programs from npm packages, by a lock file, each set in a folder of its own beside the build's other files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use crate::venv::target_folder;

/// Installs what the `package.json` in a folder names, as its lock file says, where it is not there yet; gives the
/// folder of its programs. Blocks.
pub fn installed(package: &Path) -> PathBuf {
    let folder = target_folder().join("npm").join(package.file_name().unwrap());
    fs::create_dir_all(&folder).unwrap();
    // Tests of several processes may get here at once; one installs, the others wait.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = fs::read(package.join("package-lock.json")).unwrap();
    let done = folder.join("done");
    if fs::read(&done).ok().as_ref() != Some(&wanted) {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(package.join(file), folder.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        let fetched = npm.status().is_ok_and(|status| status.success());
        assert!(fetched, "the packages of {} are missing: run `{npm:?}` and try again", package.display());
        fs::write(done, wanted).unwrap();
    }
    folder.join("node_modules/.bin")
}
