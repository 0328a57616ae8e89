//! How commands are run.

use super::MIB;
use super::area::area;

area! {
    /// How commands are run.
    pub struct Commands in "commands" {
        /// How often a command without an expected version is decided again after it lost a race.
        conflict_retries: u32 = 10, within 0..=1000;
        /// Commands that may wait in one of a module's shards; more are answered with 503.
        queue: u64 = 8_192, within 1..=1_000_000;
        /// Streams whose state is kept in memory, so that their commands need no read.
        hot_streams: u64 = 100_000, within 1..=100_000_000;
        /// Most memory of the instances in which those states live, in bytes.
        hot_bytes: u64 = 256 * MIB, within MIB..=1_024 * 1_024 * MIB;
        /// Most bytes of the events that a batch decides, and of the states that it asks for. An atomic one that needs more is refused; of another
        /// one, what has not begun by then.
        batch_bytes: u64 = 16 * MIB, within 1_024..=1_024 * MIB;
        /// Events of a stream after which a snapshot of it is taken.
        snapshot_events: u64 = 500, within 1..=1_000_000_000;
        /// Milliseconds that the events after a snapshot may take to be folded before another one is taken.
        snapshot_replay_ms: u64 = 20, within 1..=600_000;
    }
}
