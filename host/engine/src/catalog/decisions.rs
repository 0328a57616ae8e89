//! A feed of the decisions made on this host. The shadows of candidates watch it.

use gavel_model::CommandRecord;
use gavel_store::StreamAppend;
use tokio::sync::broadcast;

/// The most decisions that a watcher may be behind before it misses some.
const BEHIND_LIMIT: usize = 4_096;

/// Passes decisions on, once they are durable. Nobody waits for a watcher, and without one nothing
/// is copied.
#[derive(Debug)]
pub struct Decisions(broadcast::Sender<CommandRecord>);

/// Decisions on their way into the store.
#[derive(Debug)]
#[must_use]
pub struct PendingDecisions(Vec<CommandRecord>);

impl Default for Decisions {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_LIMIT))
    }
}

impl Decisions {
    /// Collects the decisions that `parts` will store; none when nobody watches.
    pub fn of(&self, parts: &[StreamAppend]) -> PendingDecisions {
        if self.0.receiver_count() == 0 {
            return PendingDecisions(Vec::new());
        }
        PendingDecisions(
            parts
                .iter()
                .filter_map(|part| part.command.clone())
                .collect(),
        )
    }

    /// Publishes decisions that are now durable.
    pub fn stored(&self, decisions: PendingDecisions) {
        for decision in decisions.0 {
            // The last watcher may have left.
            let _ = self.0.send(decision);
        }
    }

    /// Watches all decisions from now on, of all namespaces and deciders.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<CommandRecord> {
        self.0.subscribe()
    }
}
