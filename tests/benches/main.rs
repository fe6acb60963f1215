//! Measures Waxwing against consumers in native Rust, on a real nats-server, in one run.
//!
//! ```text
//! cargo bench --bench compare                  everything
//! cargo bench --bench compare -- drain         one part: drain, log, latency, sandbox,
//!                                              footprint, hosts, moves, swaps, observed, stories
//! cargo bench --bench compare -- drain 50000   with so many events
//! cargo bench --bench compare -- drain fresh   only those whose name has this word, one round
//! cargo bench --bench compare -- languages     the sandbox with handlers in other languages, which it builds first
//! ```
//!
//! Host, load and server share the machine, so only the ratios of one run mean something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod drain;
mod footprint;
mod guest;
mod hosts;
mod items;
mod languages;
mod latency;
mod load;
mod log;
mod moves;
mod native;
#[path = "../system/npm.rs"]
mod npm;
mod observed;
#[path = "../system/once.rs"]
mod once;
mod ours;
mod processes;
#[path = "../system/processor.rs"]
mod processor;
mod sandbox;
#[path = "../system/scripts.rs"]
mod scripts;
// The system tests look into a server's store, too.
#[allow(dead_code)]
#[path = "../system/server.rs"]
mod server;
mod stories;
mod swaps;
#[path = "../system/variant.rs"]
mod variant;
#[path = "../system/venv.rs"]
mod venv;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTS: [&str; 10] =
    ["drain", "log", "latency", "sandbox", "footprint", "hosts", "moves", "swaps", "observed", "stories"];

/// What is measured only where it is asked for.
const LANGUAGES: &str = "languages";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number: Option<u64> = arguments.iter().find_map(|a| a.parse().ok());
    let named: Vec<&str> = PARTS.into_iter().filter(|part| arguments.iter().any(|a| a == part)).collect();
    if arguments.iter().any(|argument| argument == LANGUAGES) {
        return languages::run(number.unwrap_or(2_000));
    }
    let parts = if named.is_empty() { PARTS.to_vec() } else { named };
    let word = arguments.iter().find(|a| !PARTS.contains(&a.as_str()) && a.parse::<u64>().is_err());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for part in parts {
        match part {
            "drain" => runtime.block_on(drain::run(number.unwrap_or(200_000), word.map(String::as_str))),
            "log" => runtime.block_on(log::run(number.unwrap_or(200_000))),
            "latency" => runtime.block_on(latency::run(number.unwrap_or(10_000))),
            "sandbox" => sandbox::run(number.unwrap_or(100_000)),
            "hosts" => runtime.block_on(hosts::run(number.unwrap_or(100_000))),
            "moves" => runtime.block_on(moves::run()),
            "swaps" => runtime.block_on(swaps::run()),
            "observed" => runtime.block_on(observed::run(number.unwrap_or(100_000))),
            "stories" => runtime.block_on(stories::run(number.unwrap_or(1_000_000))),
            _ => runtime.block_on(footprint::run()),
        }
    }
}

/// The middle one of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
