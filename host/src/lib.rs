//! The host of Waxwing: a binary, and this library for it and for the system tests.
//!
//! | module | noun |
//! | --- | --- |
//! | [`cli`] | the command line, one file a command |
//! | [`config`] | the manifest `waxwing.toml` |
//! | [`own_folder`], [`identity`] | what a host keeps beside the manifest; which host it is |
//! | [`module`] | handler modules: found, built, read |
//! | [`registry`] | modules as OCI artefacts: pulled, pushed |
//! | [`scaffold`] | new apps and handlers, from templates |
//! | [`reference`](mod@reference) | pages of the documentation that are made from the source |
//! | [`nats`] | how NATS is reached |
//! | [`nats_server`] | a NATS server of our own |
//! | [`deploy`] | which version of each handler runs, and how another comes to |
//! | [`signature`] | who vouches for what is deployed |
//! | [`control`] | what others ask of a running host: probes, the service manager |
//! | [`doctor`] | what weakens a promise: found and judged |
//! | [`scenario`] | scenarios in files: played on real modules, through faults |
//! | [`capture`] | one event with all that its run read: taken from the log, and run again |
//! | [`story`] | what one first event has caused, as the log tells it |
//! | [`assemble`] | puts log, sandbox and engine together |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod assemble;
pub mod capture;
pub mod cli;
pub mod config;
pub mod control;
pub mod deploy;
pub mod doctor;
pub mod identity;
pub mod module;
pub mod nats;
pub mod nats_server;
pub mod own_folder;
pub mod reference;
pub mod registry;
pub mod scaffold;
pub mod scenario;
pub mod signature;
pub mod story;
#[cfg(any(feature = "oci", feature = "otlp"))]
mod tls;
