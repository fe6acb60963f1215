//! The sandbox with real components, made of WebAssembly text and the contract in `wit/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cache;
mod effects;
mod failures;
mod guest;
mod host;
mod instances;
mod load;
mod reply;
mod schedule;
