//! Why a handler could not be loaded.

use std::{io, path::PathBuf};

use crate::{CheckError, secrets::SecretError};

/// Why a handler could not be loaded. The message reads on from the module's name: ``handlers/audit: …``.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The module is no handler for this host.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The handler asks for more memory than the sandbox gives anyone.
    #[error("its memory limit of {limit} bytes is above the sandbox's {most}: lower `memory`")]
    MemoryLimit {
        /// The handler's limit.
        limit: u64,
        /// The sandbox's.
        most: u64,
    },
    /// The module starts with more memory than the handler may have.
    #[error(
        "it starts with {asked} bytes of memory and may have {limit}: raise `memory`, or keep less static data in it"
    )]
    Memory {
        /// What the module starts with.
        asked: u64,
        /// The handler's limit.
        limit: u64,
    },
    /// A directory that the handler is granted cannot be opened.
    #[error(
        "its directory `{path}` cannot be opened: make it within the manifest's folder, without a link that leads out \
         of that, or take it out of `files` ({source})",
        path = path.display()
    )]
    Files {
        /// The directory, within the manifest's folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A secret that the handler is granted is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The engine for functions that are async cannot be made.
    #[error(
        "the sandbox cannot reserve memory for modules whose functions are async: give it fewer instances, or raise \
         vm.max_map_count and the limit on address space ({0:#})"
    )]
    Engine(#[source] wasmtime::Error),
    /// The module does not compile.
    #[error("it does not compile: {0:#}")]
    Compile(#[source] wasmtime::Error),
    /// An import or export has the right name and the wrong type.
    #[error("it does not fit the contract that it names: build it with an unchanged SDK ({0:#})")]
    Mismatch(#[source] wasmtime::Error),
}
