//! Programs from Python packages, each in an environment of its own beside the build's other files.

use std::{path::PathBuf, process::Command};

use crate::once::{self, target_folder};

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
        once::made(&folder, self.version, || {
            let made = run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
            let pip = folder.join("bin/pip");
            let fetched = made && run(Command::new(pip).args(["install", "--quiet", &self.pinned()]));
            assert!(fetched, "`{}` is missing: run `{}` and try again", self.pinned(), self.commands());
        });
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
