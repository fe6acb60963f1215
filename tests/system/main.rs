//! Tests of the whole: parts together, real servers, real modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod app;
mod arrows;
mod cli;
mod crash;
mod engine;
mod exactly_once;
mod failing;
mod hostile;
mod log_contract;
mod malformed;
mod manifest;
mod modules;
mod outside;
mod parking;
mod raw;
mod scripted;
mod server;
mod shop;
