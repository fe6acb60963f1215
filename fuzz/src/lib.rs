//! What the fuzz targets check, as plain functions over bytes: each panics where a promise is broken.
//!
//! | module | what comes from outside |
//! | --- | --- |
//! | [`event`] | headers and payload of an entry |
//! | [`subject`] | subjects, patterns, places of keys |
//! | [`manifest`] | a manifest and the variables over it |
//! | [`entry`] | the host's own entries: marks, checkpoints, leases, dead letters, state keys |
//! | [`module`] | a module's bytes |
//! | [`guest`] | what a running guest asks for; [`puppet`] is the guest |
//!
//! [`seeds`] are the inputs to begin with.

pub mod entry;
pub mod event;
pub mod guest;
pub mod manifest;
pub mod module;
pub mod puppet;
pub mod seeds;
pub mod subject;
