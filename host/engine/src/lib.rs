//! The way of an event: source, decode, lane, run, commit.
//!
//! ```text
//!  source        lane            port::Invoke     policy, plan       committer
//!  log reader ─▶ which key    ─▶ run, effects  ─▶ what is written ─▶ one entry: fenced publish
//!  decode        one at a time   in a buffer      pure functions     several: atomic batch
//! ```
//!
//! | module | what it does |
//! | --- | --- |
//! | [`engine`] | starts and drains the partitions of an app's handlers on this host |
//! | [`partition`] | owns one partition: lease, place, serving |
//! | [`presence`], [`roster`], [`rendezvous`] | which hosts live, and to which of them a partition goes |
//! | [`lease`], [`recovery`] | who owns a partition, and where it goes on |
//! | [`inputs`], [`source`] | where inputs come from; reads and decodes them |
//! | [`front`], [`door`], [`shedding`] | requests and live messages: to their owner, bounded |
//! | [`answer`] | pure: from a run's end to the answer of a request |
//! | [`lane`], [`progress`] | order by key; what is handled |
//! | [`parking`], [`health`] | pure: which events wait and which may run; whether a handler is down |
//! | [`operators`] | what operators write beside the hosts |
//! | [`gauges`] | how full everything is that is bounded |
//! | [`program`], [`standing`] | what runs for a handler, and what was decided about it |
//! | [`canary`], [`shadow`], [`recorded`] | a version that is tried beside: which keys it has, whether it is worse, what it does otherwise |
//! | [`cache`] | state in memory, and what a run has seen of it |
//! | [`policy`], [`plan`] | pure: from an outcome to entries |
//! | [`trace`] | pure: where a run and what it emits stand in a trace |
//! | [`committer`] | writes entries, alone or in groups |
//! | [`relay`] | brings events to subjects outside the log |
//! | [`entry`] | the host's own entries and their forms |
//! | [`port`] | what the engine asks of the world |
//!
//! The engine knows no NATS, no wasmtime and no terminal.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod answer;
pub mod cache;
pub mod canary;
pub mod committer;
pub mod door;
pub mod elsewhere;
pub mod engine;
pub mod entry;
pub mod front;
pub mod gauges;
pub mod generations;
pub mod health;
pub mod history;
mod hosting;
pub mod inputs;
pub mod lane;
pub mod lease;
pub mod operators;
pub mod parking;
pub mod partition;
mod partitioned;
pub mod plan;
pub mod policy;
pub mod port;
pub mod presence;
pub mod program;
pub mod progress;
mod readings;
pub mod recorded;
pub mod recovery;
pub mod relay;
pub mod rendezvous;
pub mod roster;
pub mod shadow;
pub mod shedding;
pub mod source;
pub mod stable_hash;
pub mod standing;
pub mod timers;
pub mod trace;
pub mod view;

pub use engine::{Engine, Options, Ports};
pub use hosting::Hosted;
pub use program::Program;
