//! Which host this is: the same again after a restart, so that it takes its own partitions back at once
//! instead of waiting until its former self counts as dead.
//!
//! Beside the manifest, `.waxwing/hosts/<n>` holds an id, and a running host holds a lock on the file. A lock
//! ends with its process, however that ends; so whoever gets it knows that the id's last owner is gone. Several
//! hosts in one folder use one file each.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
};

use anyhow::{Context, Result};
use cap_std::fs::{Dir, OpenOptions};
use uuid::Uuid;

/// The most hosts that may run in one folder.
const MAX_HOSTS: u32 = 256;

/// A host's id, its own for as long as this value lives.
#[derive(Debug)]
pub struct Identity {
    id: String,
    _lock: Option<File>,
}

impl Identity {
    /// An id that nobody has had before.
    pub fn new() -> Identity {
        Identity { id: format!("host-{}", Uuid::now_v7().simple()), _lock: None }
    }

    /// The first id of this folder that no running host has. Its files go to `hosts/` in `folder`.
    pub fn claim(folder: &Dir) -> Result<Identity> {
        let claimed = || -> io::Result<Option<Identity>> {
            folder.create_dir_all("hosts")?;
            let hosts = folder.open_dir("hosts")?;
            for number in 0..MAX_HOSTS {
                if let Some(identity) = try_claim(&hosts, number)? {
                    return Ok(Some(identity));
                }
            }
            Ok(None)
        };
        let identity = claimed().context("the folder .waxwing/hosts beside the manifest cannot be used")?;
        identity.with_context(|| format!("{MAX_HOSTS} hosts run in this folder: start this one from another"))
    }

    /// The id: a token of a subject.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Default for Identity {
    fn default() -> Identity {
        Identity::new()
    }
}

fn try_claim(hosts: &Dir, number: u32) -> io::Result<Option<Identity>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    let mut file = hosts.open_with(number.to_string(), &options)?.into_std();
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let seed = match text.trim().parse::<Uuid>() {
        Ok(seed) => seed,
        Err(_) => write_seed(&mut file)?,
    };
    // A copy of the folder on another machine must not be the same host.
    let id = Uuid::new_v5(&seed, machine_name().as_bytes());
    Ok(Some(Identity { id: format!("host-{}", id.simple()), _lock: Some(file) }))
}

fn write_seed(file: &mut File) -> io::Result<Uuid> {
    let seed = Uuid::new_v4();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{seed}")?;
    Ok(seed)
}

/// What this machine is called; empty where that is not known.
pub(crate) fn machine_name() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    named
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn a_running_host_keeps_its_id_and_the_next_takes_it_over() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let first = Identity::claim(&folder).unwrap();
        let second = Identity::claim(&folder).unwrap();
        assert_ne!(first.id(), second.id());
        let id = first.id().to_owned();
        drop(first);
        assert_eq!(Identity::claim(&folder).unwrap().id(), id);
    }

    #[test]
    fn a_damaged_file_gets_a_new_id() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        folder.create_dir("hosts").unwrap();
        folder.write("hosts/0", "damaged").unwrap();
        let id = Identity::claim(&folder).unwrap().id().to_owned();
        assert_eq!(Identity::claim(&folder).unwrap().id(), id);
    }
}
