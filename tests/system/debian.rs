//! Programs from Debian's packages, unpacked beside the build's other files: nothing is installed.

use std::{path::PathBuf, process::Command};

use crate::once::{self, target_folder};

/// A package, and a file that is in it.
pub struct Package {
    pub name: &'static str,
    /// Below the root.
    pub file: &'static str,
}

impl Package {
    /// The file: from the PATH, else from the package, which is fetched where it is not there yet. Blocks.
    pub fn installed(&self) -> PathBuf {
        let program = self.file.rsplit('/').next().unwrap();
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if let Some(found) =
            std::env::split_paths(&paths).map(|path| path.join(program)).find(|path| path.is_file())
        {
            return found;
        }
        let folder = target_folder().join(self.name);
        // Whichever version it has.
        once::made(&folder, "", || {
            let commands = format!("apt-get download {0} && dpkg -x {0}_*.deb .", self.name);
            // The package is looked for in what this machine has heard of before; where that is too old, it is asked again.
            let fetch = format!("({commands}) || (apt-get update && {commands})");
            let output = Command::new("sh").args(["-c", &fetch]).current_dir(&folder).output().unwrap();
            assert!(
                output.status.success() && folder.join(self.file).is_file(),
                "`{program}` is missing: put it on the PATH, or run `{commands}` in {} and try again: {}",
                folder.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        });
        folder.join(self.file)
    }
}
