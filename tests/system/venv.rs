//! Programs from Python packages, each in an environment of its own beside the build's other files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// A package as pip names it, and a file that is there once it is installed.
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// Within its environment.
    pub file: &'static str,
}

impl Package {
    /// The file, installed where it is not there yet. Blocks.
    pub fn installed(&self) -> PathBuf {
        let folder = self.folder();
        // Tests of several processes may get here at once; one installs, the others wait.
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let done = folder.join(format!("{}.done", self.version));
        if !done.exists() {
            let made = run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
            let pip = folder.join("bin/pip");
            let fetched = made && run(Command::new(pip).args(["install", "--quiet", &self.pinned()]));
            assert!(fetched, "`{}` is missing: run `{}` and try again", self.pinned(), self.commands());
            File::create(done).unwrap();
        }
        folder.join("bin").join(self.file)
    }

    /// How to install it by hand.
    pub fn commands(&self) -> String {
        let folder = self.folder();
        format!("python3 -m venv {0} && {0}/bin/pip install {1}", folder.display(), self.pinned())
    }

    fn pinned(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }

    fn folder(&self) -> PathBuf {
        target_folder().join(self.name)
    }
}

fn run(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// Test binaries lie in `<target>/<profile>/deps`.
pub fn target_folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).map(Path::to_owned).unwrap()
}
