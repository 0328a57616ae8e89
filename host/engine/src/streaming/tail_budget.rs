//! The share of each tail in what all tails may take up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Most that the pages of one tail take up, in bytes.
const RING_BYTES: usize = 4 * 1024 * 1024;
/// Most that the pages of all tails take up together, in bytes.
const ALL_RINGS_BYTES: usize = 64 * 1024 * 1024;

/// The number of fruitless looks a second that all tails together take while some log is busy.
const QUIET_LOOKS: u32 = 5_000;
/// The number of looks a second that all tails together take without being woken.
const IDLE_LOOKS: u32 = 1_000;

/// The share of memory and looks that a single tail has: clients determine how many tails there
/// are.
#[derive(Debug, Clone, Default)]
pub(super) struct TailBudget(Arc<AtomicU32>);

impl TailBudget {
    /// Takes note of how many tails there are.
    pub(super) fn share_among(&self, tails: usize) {
        let tails = u32::try_from(tails).unwrap_or(u32::MAX);
        self.0.store(tails, Ordering::Relaxed);
    }

    fn tails(&self) -> u32 {
        self.0.load(Ordering::Relaxed).max(1)
    }

    /// Gives the memory for the pages of a tail, in bytes.
    pub(super) fn bytes(&self) -> usize {
        (ALL_RINGS_BYTES / self.tails() as usize).min(RING_BYTES)
    }

    /// Gives the shortest pause after a look for nothing.
    pub(super) fn quiet_gap(&self) -> Duration {
        Duration::from_secs(1) * self.tails() / QUIET_LOOKS
    }

    /// Gives the shortest pause before a look without being woken, once nothing comes.
    pub(super) fn idle_poll(&self) -> Duration {
        Duration::from_secs(1) * self.tails() / IDLE_LOOKS
    }
}
