//! The sandbox: runs handlers as WebAssembly components, a run at a time, within limits.
//!
//! On the way of an event this is the step between lane and commit: a [`Run`](waxwing_engine::port::invoke::Run)
//! comes in, its [`Report`](waxwing_engine::port::invoke::Report) goes out. What a guest emits and sets stays in
//! a buffer; nothing here writes to a log. The crate knows no broker and no configuration file.
//!
//! | module | noun |
//! | --- | --- |
//! | [`options`] | what the sandbox may use |
//! | [`sandbox`] | the service: loads handlers, owns the threads |
//! | [`handler`] | the handle: takes runs of one handler |
//! | [`anatomy`] | what a module is made of |
//! | [`mod@check`] | what a module imports and exports, without compiling it |
//! | [`load`] | why a handler could not be loaded |
//! | `engine` | wasmtime's configuration and what guests may import |
//! | `module`, `cache` | compiled code, shared and kept on disk |
//! | `background` | where it is compiled while runs go on |
//! | `contract`, `imports` | the contract, and one file a capability |
//! | `foreign` | guests that were written for other hosts |
//! | `http` | calls to the outside |
//! | [`secrets`] | what handlers may read by name, and where it is |
//! | `schedule`, `burst`, `post`, `worker`, `slots`, `slice`, `timer`, `ticker` | who runs when, and for how long |
//! | `instance`, `guest`, `run` | one sandbox, what the host knows of it, one run in it |
//! | `effects`, `lines`, `memory` | what a run may use up |
//! | [`figures`] | what the sandbox shows of itself |
//! | [`study`] | runs with fixed time and chance, of which somebody hears |
//! | `failure`, `panic_text`, `backtrace` | from a trap to words |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod anatomy;
mod background;
mod backtrace;
mod burst;
mod cache;
pub mod check;
mod contract;
mod effects;
mod engine;
mod failure;
pub mod figures;
pub mod foreign;
mod guest;
pub mod handler;
mod http;
mod imports;
mod instance;
mod lines;
pub mod load;
mod memory;
mod module;
mod niceness;
pub mod options;
mod panic_text;
mod post;
mod run;
pub mod sandbox;
mod schedule;
pub mod secrets;
mod slice;
mod slots;
pub mod study;
mod ticker;
mod timer;
mod worker;

pub use anatomy::Anatomy;
pub use check::{CheckError, Contract, check};
pub use figures::Figures;
pub use handler::Handler;
pub use load::LoadError;
pub use options::{Options, Outside, Priority, Scrutiny};
pub use sandbox::{Sandbox, StartError};
pub use secrets::{Secret, Secrets};
pub use study::{Ear, Study, Used};
