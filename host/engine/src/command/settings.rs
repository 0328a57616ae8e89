//! The limits of carrying out commands.

use std::time::Duration;

use gavel_model::{LedgerMode, PerDecider, StreamId};

/// The limits of carrying out commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// The ledger mode of the commands of each decider: how much the ledger keeps of them.
    pub ledger: PerDecider<LedgerMode>,
    /// The most times that a command is decided again after a lost race, before its sender gets the
    /// conflict.
    pub conflict_retries: u32,
    /// The most streams that are kept hot, all modules together; the least recently used ones are
    /// let go first.
    pub hot_streams: usize,
    /// Linear memory of the instances in which they live, in bytes, all modules together.
    pub hot_bytes: usize,
    /// The most commands that may wait in one shard of a module; more are refused.
    pub queue: usize,
    /// Most that the events which a batch decides, and the states that it asks for, may take up in
    /// bytes; one that is not atomic may go beyond it by what is under way.
    pub batch_bytes: usize,
    /// The thresholds at which a snapshot of a stream is taken.
    pub snapshots: SnapshotPolicy,
}

/// The thresholds at which a snapshot of a stream is due; reaching one is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// The number of events since the last snapshot.
    pub events: u64,
    /// The time that it took to fold the events since the last snapshot.
    pub replay: Duration,
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self {
            ledger: PerDecider::default(),
            conflict_retries: 16,
            hot_streams: 100_000,
            hot_bytes: 256 << 20,
            queue: 8_192,
            batch_bytes: 16 << 20,
            snapshots: SnapshotPolicy {
                events: 500,
                replay: Duration::from_millis(20),
            },
        }
    }
}

impl CommandSettings {
    /// Gives the ledger mode of the commands to a stream.
    pub(super) fn ledger_of(&self, stream: &StreamId) -> LedgerMode {
        *self.ledger.of(stream.namespace(), stream.decider())
    }
}
