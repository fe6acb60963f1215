//! Registries: modules as OCI artefacts, in the form that the tools for WebAssembly share (`application/wasm`), pulled and
//! pushed. A build without the feature `oci` knows their addresses, and says that it cannot reach them.

mod address;
#[cfg(feature = "oci")]
mod credentials;
#[cfg(feature = "oci")]
mod transfer;
#[cfg(not(feature = "oci"))]
mod without;

use std::sync::Arc;

pub use address::{Address, AddressError, PREFIX};
#[cfg(feature = "oci")]
pub use transfer::{pull, push};
#[cfg(not(feature = "oci"))]
pub use without::{pull, push};

/// A module from a registry.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// What was pulled, by the digest of its manifest.
    pub address: Address,
    /// The module.
    pub bytes: Arc<[u8]>,
}

/// Why a module was not pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It is not there.
    #[error(
        "{0} is not there: look at the repository and the tag; some registries say so also where one may not look"
    )]
    NotFound(Address),
    /// We may not.
    #[error(
        "the registry refuses {0}: sign in with `docker login` (its config.json is read, helpers are not run), or ask \
         for the right to it"
    )]
    Refused(Address),
    /// Something else lies there.
    #[error("{address} is no WebAssembly module: {why}; `waxwing push` makes what is expected")]
    NotWasm {
        /// Where.
        address: Address,
        /// What it is.
        why: String,
    },
    /// It is too large.
    #[error("{address} has {bytes} bytes or more: at most {most} are taken")]
    TooLarge {
        /// Which.
        address: Address,
        /// How large it is.
        bytes: u64,
        /// The most.
        most: u64,
    },
    /// The registry has sent something else.
    #[error("the registry has sent other bytes than those that {0} names: ask whoever keeps it")]
    OtherBytes(Address),
    /// The credentials cannot be read.
    #[error("the registry's credentials in {file} cannot be read: {why}")]
    Credentials {
        /// The file.
        file: String,
        /// Why not.
        why: String,
    },
    /// It could not be reached, or said something else.
    #[error("{address}: {why}")]
    Failed {
        /// Which.
        address: Address,
        /// What happened.
        why: String,
    },
    /// This build cannot.
    #[error(
        "{0}: this waxwing was built without registries: build it with the feature `oci`, or name a file"
    )]
    Without(Address),
}
