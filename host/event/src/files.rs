//! Directories that a handler may use.
//!
//! They lie outside of what a run commits: **what a run writes to a file stays, also where the run fails**, and a run
//! that is tried again writes again.

use std::path::PathBuf;

/// A directory of the host, as a handler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileGrant {
    /// The directory, within the folder of the host's manifest, which it does not leave.
    pub host: PathBuf,
    /// Where the handler finds it: an absolute path.
    pub guest: String,
    /// What the handler may do there.
    pub mode: FileMode,
}

/// What a handler may do in a directory and everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FileMode {
    /// Look and read.
    #[default]
    Read,
    /// Also write, make and remove. Nothing of it is undone where the run fails.
    ReadWrite,
}
