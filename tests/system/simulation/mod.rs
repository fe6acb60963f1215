//! The deterministic simulation: the engine on the memory log, in virtual time, with every fault that a seed
//! can think of. One seed decides everything, so a failing seed fails again.
//!
//! ```text
//!  arrivals ─▶ server: the log in memory ◀─ link: delays, losses ◀─ (bug) ◀─ engine ◀─ host: crashes, pauses
//!                     │ history                                                │
//!                     ▼                                                        ▼
//!                invariants ◀─ model: the same handlers, one event at a time   sandbox ─▶ witness
//! ```
//!
//! | variable | meaning |
//! | --- | --- |
//! | `WAXWING_SIM_SEED` | run this seed, print what happened |
//! | `WAXWING_SIM_SEEDS` | run so many seeds, from that one on or from a fresh one |

mod arrivals;
mod bug;
mod clock;
mod dice;
mod gate;
mod handler;
mod host;
mod invariants;
mod life;
mod link;
mod model;
mod modules;
mod operator;
mod rest;
mod run;
mod sandbox;
mod server;
mod story;
mod trace;
mod weather;
mod witness;
mod world;

use std::collections::BTreeMap;

use bug::Bug;
use run::{Ran, run};
use trace::Seen;

fn app() -> waxwing_event::AppName {
    "sim".parse().unwrap()
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// So many seeds may fail before the others are left alone.
const MAX_FAILING: usize = 10;

/// Runs seeds and fails where anything does not hold.
fn hold(seeds: impl Iterator<Item = u64>) {
    let failing: Vec<String> = seeds.filter_map(fails).take(MAX_FAILING).collect();
    assert!(failing.is_empty(), "{}", failing.join("\n\n"));
}

/// What does not hold for a seed.
fn fails(seed: u64) -> Option<String> {
    let Ran { violations, trace, .. } = run(seed, None);
    if violations.is_empty() {
        return None;
    }
    let path = std::env::temp_dir().join(format!("waxwing-simulation-{seed}.trace"));
    std::fs::write(&path, &trace).unwrap();
    Some(format!(
        "seed {seed}: {}\nwhat happened: {}\nto repeat it: WAXWING_SIM_SEED={seed} cargo test -p waxwing --test system simulation::any_seed_holds",
        violations.join("\n"),
        path.display()
    ))
}

#[test]
fn any_seed_holds() {
    const FIXED: u64 = 150;
    const FRESH: u64 = 50;
    let (seed, count) = (variable("WAXWING_SIM_SEED"), variable("WAXWING_SIM_SEEDS"));
    let fresh = || rand::random_range(0..1 << 32);
    match (seed, count) {
        (Some(seed), None) => {
            print!("{}", run(seed, None).trace);
            hold([seed].into_iter());
        }
        (seed, Some(count)) => {
            let first = seed.unwrap_or_else(fresh);
            hold(first..first + count);
        }
        (None, None) => {
            let first = fresh();
            hold((0..FIXED).chain(first..first + FRESH));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in 0..20 {
        let (one, other) = (run(seed, None).trace, run(seed, None).trace);
        let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(one, other, "seed {seed}");
    }
    assert_ne!(run(1, None).trace, run(2, None).trace);
}

/// The first seed that shows a bug.
fn found_by(bug: Bug) -> u64 {
    let found = (0..1_000).find(|seed| !run(*seed, Some(bug)).violations.is_empty());
    let found = found.unwrap_or_else(|| panic!("{bug:?} is not found within 1,000 seeds"));
    println!("{bug:?}: seed {found}");
    found
}

#[test]
fn a_planted_bug_of_each_kind_is_found() {
    for bug in Bug::ALL {
        found_by(bug);
    }
}

/// A simulation without faults would hold, too.
#[test]
fn seeds_make_happen_what_they_are_meant_to() {
    let mut seen: BTreeMap<Seen, u64> = BTreeMap::new();
    for seed in 0..100 {
        for (what, times) in run(seed, None).seen {
            *seen.entry(what).or_default() += times;
        }
    }
    println!("{seen:#?}");
    for what in Seen::ALL {
        assert!(seen.get(&what).is_some_and(|times| *times > 0), "{what:?}: {:?}", seen.get(&what));
    }
}
