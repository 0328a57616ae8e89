//! The pace of a module: the amount that it computes, and so the lane in which its calls run.
//!
//! Guests of all modules share the machine with what serves them: the network and the database. A
//! module that computes without end must not slow down its neighbours: a call that takes long gives
//! way to others for the rest of it (`threads.rs`), and the calls of a module that makes many of
//! these begin on threads that give way from the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::table::{HEAVY_FOR, PERIOD};

/// The threads that a call runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The threads of all modules that compute little.
    Light,
    /// The threads that give way.
    Heavy,
    /// The threads of calls that no client waits for: they give way, and rest.
    Background,
    /// The same threads, without the rests: a decider is kept waiting for the end of this.
    Pressing,
}

/// The fuel that one module has used lately; all of its instances share the count.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The fuel used in a period from which on a module is heavy.
    limit: u64,
    started: Instant,
    /// The fuel used since `period_ms`.
    used: AtomicU64,
    /// The beginning of the period, in milliseconds since `started`, as below.
    period_ms: AtomicU64,
    heavy_until_ms: AtomicU64,
}

impl Pace {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            // So that a few calls more than reach it do not overflow what is counted.
            limit: limit.min(u64::MAX / 1024),
            started: Instant::now(),
            used: AtomicU64::new(0),
            period_ms: AtomicU64::new(0),
            heavy_until_ms: AtomicU64::new(0),
        }
    }

    /// Notes that a call has used `fuel`.
    pub(crate) fn used(&self, fuel: u64) {
        let before = self.used.fetch_add(fuel.min(self.limit), Ordering::Relaxed);
        if before.saturating_add(fuel) < self.limit {
            return;
        }
        // Most calls never get here, to look at the clock. Of two that do at the same time one may
        // begin a period of no length.
        let now_ms = self.now_ms();
        let began_ms = self.period_ms.swap(now_ms, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        if fuel >= self.limit || now_ms < began_ms + millis(PERIOD) {
            let until_ms = now_ms + millis(HEAVY_FOR);
            self.heavy_until_ms.store(until_ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn lane(&self) -> Lane {
        let until_ms = self.heavy_until_ms.load(Ordering::Relaxed);
        if until_ms > 0 && self.now_ms() < until_ms {
            Lane::Heavy
        } else {
            Lane::Light
        }
    }

    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_heavy_once_it_has_used_its_share_within_a_period() {
        let pace = Pace::new(100);
        pace.used(99);
        assert_eq!(pace.lane(), Lane::Light);
        pace.used(1);
        assert_eq!(pace.lane(), Lane::Heavy);
    }

    #[test]
    fn one_call_that_uses_all_is_enough() {
        let pace = Pace::new(100);
        pace.period_ms.store(u64::MAX / 2, Ordering::Relaxed);
        pace.used(100);
        assert_eq!(pace.lane(), Lane::Heavy);
    }
}
