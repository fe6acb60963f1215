//! The log port's two implementations.
//!
//! | module | noun |
//! | --- | --- |
//! | [`memory`] | a log in memory: tests, simulation, trying things without a server |
//! | [`jetstream`] | a log in a JetStream stream |
//! | [`form`] | what a commit must look like, the same for both |
//!
//! One contract test runs against both: `tests/system/log_contract.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod form;
pub mod jetstream;
pub mod memory;

pub use jetstream::{JetStreamLog, JetStreamOutside};
pub use memory::{MemoryLog, MemoryOutside};
