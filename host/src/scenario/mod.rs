//! Scenarios in files: what a handler has heard, what happens now, and what must come of it, in TOML.
//!
//! | module | noun |
//! | --- | --- |
//! | [`form`] | the file |
//! | [`value`] | data as a file writes it, and as it is compared |
//! | [`pace`] | virtual time, and one run at a time |
//! | [`watched`] | a log that tells what is written, and fails where it is told to |
//! | [`stage`] | the app's handlers on a log in memory, through crashes |
//! | [`play`] | plays a scenario, step by step |
//! | [`came`] | what came of a step |
//! | [`compare`] | where that differs from what was said, or from what came without a fault |
//! | [`fault`] | what may happen to a host without any difference |
//! | [`accept`] | writes what came into the file |
//!
//! A scenario runs on the engine that hosts have and on real modules. It knows no NATS, no terminal, and no time but its own.

pub mod accept;
pub mod came;
pub mod compare;
pub mod fault;
pub mod form;
pub mod pace;
pub mod play;
pub mod stage;
pub mod value;
pub mod watched;
