//! Tests of the whole: parts together, real servers, real modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod app;
mod arrows;
mod cli;
mod cluster;
mod commit_points;
mod configured;
mod counters;
mod crash;
mod doctor;
mod engine;
mod exactly_once;
mod failing;
mod failover;
mod hostile;
mod identity;
mod log_contract;
mod long_runs;
mod malformed;
mod manifest;
mod modules;
mod network;
mod outside;
mod parking;
mod proxy;
mod raw;
mod request_contract;
mod requests;
mod restored;
mod scripted;
mod seed;
mod server;
mod shop;
mod visits;
