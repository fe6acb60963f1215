//! Where a handler's module comes from, as the manifest names it.

use std::{
    fmt, io,
    path::{Component, Path, PathBuf},
};

use cap_std::fs::Dir;
use waxwing_event::{Digest, digest::DigestError};

use crate::registry::{self, Address, AddressError};

/// Where a module comes from: a path within the manifest's folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModuleSource {
    /// The folder of a crate.
    Crate(PathBuf),
    /// A `.wasm` file.
    File(PathBuf),
    /// One that was deployed before: it is in the app's store.
    Stored(Digest),
    /// One in a registry.
    Registry(Address),
}

impl fmt::Display for ModuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModuleSource::Crate(path) | ModuleSource::File(path) => path.display().fmt(f),
            ModuleSource::Stored(digest) => digest.fmt(f),
            ModuleSource::Registry(address) => address.fmt(f),
        }
    }
}

/// Why a module's name is refused.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// Nothing lies there.
    #[error("nothing lies there")]
    Missing,
    /// The path leads out of the manifest's folder.
    #[error(
        "`{0}` leads out of the manifest's folder: put the module into it, and write a path without `..`"
    )]
    Outside(String),
    /// A way to name modules that a later version will know.
    #[error("`{0}`: {1} are not supported yet by this version: name a crate's folder or a .wasm file")]
    Later(String, &'static str),
    /// A folder without a crate.
    #[error("`{0}` is a folder without Cargo.toml: name a crate's folder or a .wasm file")]
    NoCrate(String),
    /// A file of another kind.
    #[error("`{0}` is neither a crate's folder nor a .wasm file")]
    OtherFile(String),
    /// No digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// No address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The folder cannot be read.
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(String, #[source] io::Error),
}

/// Looks up what `name` stands for, within `folder` and nowhere else.
pub fn locate(folder: &Dir, name: &str) -> Result<ModuleSource, LocateError> {
    let later = [("http://", "addresses"), ("https://", "addresses")];
    if let Some((_, what)) = later.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return Err(LocateError::Later(name.to_owned(), what));
    }
    if name.starts_with("sha256:") {
        return Ok(ModuleSource::Stored(name.parse()?));
    }
    if name.starts_with(registry::PREFIX) {
        return Ok(ModuleSource::Registry(name.parse()?));
    }
    let path = Path::new(name);
    if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(LocateError::Outside(name.to_owned()));
    }
    let metadata = folder.metadata(path).map_err(|error| refusal(name, error))?;
    if metadata.is_dir() {
        let is_crate = folder.is_file(path.join("Cargo.toml"));
        return if is_crate {
            Ok(ModuleSource::Crate(path.to_owned()))
        } else {
            Err(LocateError::NoCrate(name.to_owned()))
        };
    }
    if path.extension().is_some_and(|extension| extension == "wasm") {
        return Ok(ModuleSource::File(path.to_owned()));
    }
    Err(LocateError::OtherFile(name.to_owned()))
}

fn refusal(name: &str, error: io::Error) -> LocateError {
    match error.kind() {
        io::ErrorKind::NotFound => LocateError::Missing,
        // cap-std reports a link that leads out of the folder in this way.
        io::ErrorKind::PermissionDenied => LocateError::Outside(name.to_owned()),
        _ => LocateError::Unreadable(name.to_owned(), error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cap_std::ambient_authority;

    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let inner = temp.path().join("app");
        fs::create_dir_all(inner.join("basket")).unwrap();
        fs::create_dir_all(inner.join("empty")).unwrap();
        fs::write(inner.join("basket/Cargo.toml"), "").unwrap();
        fs::write(inner.join("a.wasm"), "").unwrap();
        fs::write(inner.join("a.txt"), "").unwrap();
        fs::write(temp.path().join("outside.wasm"), "").unwrap();
        let dir = Dir::open_ambient_dir(inner, ambient_authority()).unwrap();
        (temp, dir)
    }

    #[test]
    fn finds_crates_and_files() {
        let (_temp, dir) = folder();
        assert_eq!(locate(&dir, "basket").unwrap(), ModuleSource::Crate("basket".into()));
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(locate(&dir, &digest).unwrap(), ModuleSource::Stored(Digest([0xab; 32])));
        let address = "oci://example.com/a:1";
        assert_eq!(locate(&dir, address).unwrap(), ModuleSource::Registry(address.parse().unwrap()));
        assert_eq!(locate(&dir, "./a.wasm").unwrap(), ModuleSource::File("./a.wasm".into()));
    }

    #[test]
    fn refuses_everything_else() {
        let (_temp, dir) = folder();
        assert!(matches!(locate(&dir, "audit"), Err(LocateError::Missing)));
        assert!(matches!(locate(&dir, "empty"), Err(LocateError::NoCrate(_))));
        assert!(matches!(locate(&dir, "a.txt"), Err(LocateError::OtherFile(_))));
        for name in ["../outside.wasm", "/etc/passwd", "basket/../../outside.wasm"] {
            assert!(matches!(locate(&dir, name), Err(LocateError::Outside(_))), "{name}");
        }
        assert!(matches!(locate(&dir, "https://example.com/a"), Err(LocateError::Later(..))));
        assert!(matches!(locate(&dir, "oci://example.com/a"), Err(LocateError::Address(_))));
        assert!(matches!(locate(&dir, "sha256:00"), Err(LocateError::Digest(_))));
    }

    #[cfg(unix)]
    #[test]
    fn follows_no_link_out_of_the_folder() {
        let (temp, dir) = folder();
        std::os::unix::fs::symlink("../outside.wasm", temp.path().join("app/link.wasm")).unwrap();
        assert!(matches!(locate(&dir, "link.wasm"), Err(LocateError::Outside(_))));
    }
}
