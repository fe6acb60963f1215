//! What is made once, in a folder beside the build's other files, and again where it is to be another.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Makes something in a folder, where it is not there yet as `wanted` says it. Tests of several processes may get here at
/// once: one makes it, the others wait. Blocks.
pub fn made(folder: &Path, wanted: &str, make: impl FnOnce()) {
    fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let done = folder.join("done");
    if fs::read_to_string(&done).ok().as_deref() != Some(wanted) {
        make();
        fs::write(done, wanted).unwrap();
    }
}

/// Test binaries lie in `<target>/<profile>/deps`.
pub fn target_folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).map(Path::to_owned).unwrap()
}
