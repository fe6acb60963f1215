//! The host of Waxwing: a binary, and this library for it and for the system tests.
//!
//! | module | noun |
//! | --- | --- |
//! | [`cli`] | the command line, one file a command |
//! | [`config`] | the manifest `waxwing.toml` |
//! | [`module`] | handler modules: found, built, read |
//! | [`nats`] | how NATS is reached |
//! | [`nats_server`] | a NATS server of our own |
//! | [`assemble`], `anywhere` | puts log, sandbox and engine together |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod anywhere;
pub mod assemble;
pub mod cli;
pub mod config;
pub mod module;
pub mod nats;
pub mod nats_server;
