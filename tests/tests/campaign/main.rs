//! The cases that take long, need servers of their own, or depend on chance: `cargo xtask campaign`
//! runs them, as many rounds as it is asked for.
//!
//! A case runs in rounds, each with a seed: that of the campaign, and those after it. CI runs one
//! round of each.
#![expect(
    clippy::unwrap_used,
    reason = "what is not as it should be fails the test"
)]

mod restored;
mod standby;
mod views;

use std::env;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// The rounds to run: a seed and a generator that starts from it.
fn rounds() -> impl Iterator<Item = (u64, StdRng)> {
    let number = |name: &str| {
        let value = env::var(name).ok()?;
        Some(value.parse::<u64>().expect("the campaign sets numbers"))
    };
    let seed = number("GAVEL_CAMPAIGN_SEED").unwrap_or(1);
    let count = number("GAVEL_CAMPAIGN_ROUNDS").unwrap_or(1);
    (0..count).map(move |round| {
        let seed = seed.wrapping_add(round);
        eprintln!("round {} of {count}, seed {seed}", round + 1);
        (seed, StdRng::seed_from_u64(seed))
    })
}
