//! Handler modules: where they come from, how crates become `.wasm` files, and their bytes.
//!
//! [`locate`] checks that a name of the manifest stays in the manifest's folder; [`build`] builds crates with
//! one cargo call a workspace; [`gather`] reads what each handler needs. Nothing here knows the sandbox.

mod build;
mod gather;
mod locate;
mod target;
mod workspace;

pub use build::{Built, Progress, Silent, build, build_with};
pub use gather::{Module, gather};
pub use locate::{LocateError, ModuleSource, locate};
