//! The settings for running commands.

use super::MIB;
use super::area::area;

area! {
    /// The settings for running commands.
    pub struct Commands in "commands" {
        /// The number of times that a command without an expected version is decided again after
        /// losing a race.
        conflict_retries: u32 = 10, within 0..=1000;
        /// Commands that may wait in one of a module's shards; more are answered with 503.
        queue: u64 = 8_192, within 1..=1_000_000;
        /// Streams whose state is kept in memory, so that their commands need no read.
        hot_streams: u64 = 100_000, within 1..=100_000_000;
        /// The most memory of the instances that hold those states, in bytes.
        hot_bytes: u64 = 256 * MIB, within MIB..=1_024 * 1_024 * MIB;
        /// The most bytes of the events that a batch decides and of the states that the batch asks
        /// for. Beyond that, an atomic batch is refused; of any other batch, the commands that have
        /// not begun are.
        batch_bytes: u64 = 16 * MIB, within 1_024..=1_024 * MIB;
        /// Events of a stream after which a snapshot of it is taken.
        snapshot_events: u64 = 500, within 1..=1_000_000_000;
        /// Milliseconds that the events after a snapshot may take to be folded before another one
        /// is taken.
        snapshot_replay_ms: u64 = 20, within 1..=600_000;
    }
}
