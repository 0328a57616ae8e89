//! The state that the host keeps for one instance while guests run in it.

use std::time::Duration;

use wasmtime::{Trap, UpdateDeadline};

use super::limits::Limiter;
use super::log::CapturedOutput;
use super::scheduling::{self, PROMPT, TICK};
use super::{Limits, engine};

/// The part of the outer world that a call sees: nothing, unless the call decides a command.
///
/// Folding, snapshots and `describe` MUST give the same at any time, so that they see the moment
/// zero and the seed zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Surroundings {
    pub(super) now_ms: u64,
    pub(super) seed: u64,
}

/// The data of a wasmtime store.
#[derive(Debug)]
pub(super) struct Host {
    limiter: Limiter,
    log: CapturedOutput,
    now_ms: u64,
    random: SplitMix64,
    /// The number of ticks that are left until the call counts as long; none when it already does.
    ticks_left: Option<u64>,
}

impl Host {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limiter: Limiter::new(limits),
            log: CapturedOutput::new(limits.log_bytes),
            now_ms: 0,
            random: SplitMix64(0),
            ticks_left: None,
        }
    }

    /// Begins a call: nothing of what follows depends on earlier calls.
    ///
    /// Gives the ticks after which to ask [`Host::is_late`].
    pub(super) fn begin_call(&mut self, surroundings: Surroundings, deadline: Duration) -> u64 {
        self.limiter.begin_call();
        self.log.begin_call();
        self.now_ms = surroundings.now_ms;
        self.random = SplitMix64(surroundings.seed);
        let ticks = engine::ticks(deadline);
        let prompt = if scheduling::gives_way() {
            1
        } else {
            engine::ticks(PROMPT)
        };
        let prompt = prompt.min(ticks);
        self.ticks_left = Some(ticks - prompt).filter(|left| *left > 0);
        prompt
    }

    /// Lets a call that takes long continue with lower priority, and with rests while live calls
    /// are made, until its deadline.
    pub(super) fn is_late(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let left = self.ticks_left.take().ok_or(Trap::Interrupt)?;
        scheduling::give_way();
        let longest = u32::try_from(left - 1).unwrap_or(u32::MAX);
        let rested = u64::from(scheduling::rest(TICK, longest));
        self.ticks_left = Some(left - 1 - rested).filter(|left| *left > 0);
        Ok(UpdateDeadline::Continue(1))
    }

    pub(super) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    pub(super) fn limiter_mut(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    pub(super) fn log(&self) -> &CapturedOutput {
        &self.log
    }

    pub(super) fn log_mut(&mut self) -> &mut CapturedOutput {
        &mut self.log
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(super) fn next_random(&mut self) -> u64 {
        self.random.next()
    }
}

/// The generator of Steele, Lea and Flood. Written out here, since replay needs these very numbers
/// for ever and the generators of crates may change with a release. Not for secrets: a module has
/// none to make.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_those_of_the_published_algorithm() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
