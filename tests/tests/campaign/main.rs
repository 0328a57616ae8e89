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
mod sizes;
mod standby;
mod views;

use std::env;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// The rounds to run: a seed and a generator that starts from it.
fn rounds() -> impl Iterator<Item = (u64, StdRng)> {
    let seed = number("GAVEL_CAMPAIGN_SEED").unwrap_or(1);
    let count = number("GAVEL_CAMPAIGN_ROUNDS").unwrap_or(1);
    (0..count).map(move |round| {
        let seed = seed.wrapping_add(round);
        eprintln!("round {} of {count}, seed {seed}", round + 1);
        (seed, StdRng::seed_from_u64(seed))
    })
}

/// The size of the cases that have one, in rows or events: of each case the smallest that can fail
/// where the campaign sets none.
fn size(smallest: u64) -> u64 {
    number("GAVEL_CAMPAIGN_SIZE").unwrap_or(smallest)
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().expect("the campaign sets numbers"))
}
