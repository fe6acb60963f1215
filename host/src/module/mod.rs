//! Handler modules: where they come from, how crates become `.wasm` files, and their bytes.
//!
//! [`locate`] checks that a name of the manifest stays in the manifest's folder; [`build`] builds crates with
//! one cargo call a workspace; [`gather`] reads what each handler needs; [`sources`] says where the sources lie. Nothing here
//! knows the sandbox.

mod build;
mod gather;
mod locate;
mod sources;
mod target;
mod workspace;

pub use build::{Attempt, Built, Progress, Silent, build, build_what_builds, build_with};
pub use gather::{Gathered, Module, gather, gather_what_builds};
pub use locate::{LocateError, ModuleSource, locate};
pub use sources::{Sources, sources};
