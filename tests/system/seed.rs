//! The seed of a test's choices: printed, and repeatable by `WAXWING_TEST_SEED`.

use rand::{SeedableRng, rngs::StdRng};

const VARIABLE: &str = "WAXWING_TEST_SEED";

/// The seed that the environment names, else a new one.
pub fn seed() -> u64 {
    let named = std::env::var(VARIABLE).ok();
    let seed = named.map_or_else(|| rand::random_range(0..1_000_000), |text| text.parse().unwrap());
    println!("{VARIABLE}={seed}");
    seed
}

/// Choices by such a seed.
pub fn seeded() -> StdRng {
    StdRng::seed_from_u64(seed())
}
