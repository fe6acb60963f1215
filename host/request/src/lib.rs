//! The requests port's two implementations, and the one of the ask port.
//!
//! | module | noun |
//! | --- | --- |
//! | [`nats`] | requests over core NATS, announced by the micro service protocol (ADR-32), and questions to others |
//! | [`memory`] | requests within one process: tests |
//! | [`service`] | what the micro service protocol says: names, answers, counters |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod memory;
pub mod nats;
pub mod service;

pub use memory::MemoryRequests;
pub use nats::{NatsAsk, NatsRequests};
