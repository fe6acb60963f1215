//! Files: the directories that a handler is granted, opened once when it is loaded, and shown to each instance.
//!
//! What a run writes there is no effect of it: it is done at once, and stays where the run fails.

use std::{
    io,
    path::{Path, PathBuf},
};

use cap_std::{ambient_authority, fs::Dir as Folder};
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::{
    FsPerms, OpenMode,
    filesystem::{Descriptor, Dir},
    p2::bindings::filesystem::preopens,
};
use waxwing_event::files::{FileGrant, FileMode};

use crate::{guest::Guest, load::LoadError, options::Outside};

/// A directory as a guest sees it.
#[derive(Clone)]
pub(crate) struct Preopen {
    dir: Dir,
    guest: String,
}

/// Opens the directories. None of their paths leads out of the manifest's folder, by no link either.
pub(crate) fn open(
    root: Option<&Path>,
    grants: &[FileGrant],
    outside: Outside,
) -> Result<Vec<Preopen>, LoadError> {
    grants.iter().map(|grant| open_one(root, grant, outside)).collect()
}

fn open_one(root: Option<&Path>, grant: &FileGrant, outside: Outside) -> Result<Preopen, LoadError> {
    let refused = |source| LoadError::Files { path: grant.host.clone(), source };
    let root = root.ok_or_else(|| refused(io::Error::other("this sandbox has no folder")))?;
    let root = Folder::open_ambient_dir(root, ambient_authority()).map_err(refused)?;
    let folder = root.open_dir(path_within(&grant.host)).map_err(refused)?;
    let (perms, mode) = match (grant.mode, outside) {
        (FileMode::ReadWrite, Outside::Granted) => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        _ => (FsPerms::ReadOnly, OpenMode::READ),
    };
    let dir = Dir::new(folder.into_std_file(), perms, mode, false);
    Ok(Preopen { dir, guest: grant.guest.clone() })
}

/// A path without its `.`, which some systems do not open.
fn path_within(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
}

/// Shows the directories of the guest's handler, in place of those of WASI's own context.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let preopens = self.handler.surroundings.preopens.clone();
        let table = self.wasi().table();
        let shown = preopens.into_iter().map(|Preopen { dir, guest }| {
            let descriptor = table.push(Descriptor::Dir(dir))?;
            Ok((descriptor, guest))
        });
        shown.collect()
    }
}
