//! The recorded past of a decider on its way through a module: read by pages, cut into parts of
//! streams, handed to workers on background threads.
//!
//! ```text
//! store --pages, two ahead--> PastReader --batches of parts--> drive --one at a time--> a worker
//! ```
//!
//! **Invariant:** what is in memory is bounded by pages, whatever the history's size: three pages
//! of each of a few readers, a batch for each worker, a state for each worker.

mod drive;
mod page;
mod reader;
#[cfg(test)]
mod tests;

use std::ops::Range;

use gavel_model::{CommandRecord, Event, LedgerMode, Version};

pub(super) use drive::Work;
pub(super) use reader::{PastReader, Reading};

/// The priority of replaying the past, against live calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Throttling {
    /// A replay that nobody waits for: it rests whenever live calls are made.
    GivesWay,
    /// A short replay that commands wait for: it takes no rests.
    Presses,
}

/// The number of events that are folded in one call: as many as when a command is carried out, so
/// that the same limits hold.
pub(super) const FOLD_EVENTS: usize = 1_000;

/// Successive events of one stream, and what was decided between them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// The id of the stream within its decider.
    pub(super) id: String,
    /// The version before the first event.
    pub(super) after: Version,
    /// Continues the stream of the part before; otherwise a stream begins, and the stream that was
    /// read before has ended.
    pub(super) goes_on: bool,
    /// The events, oldest first; none where only rejections are recorded.
    pub(super) events: Vec<Event>,
    /// The decisions, by version.
    pub(super) decisions: Vec<PastDecision>,
    /// The decisions, by version, of which the ledger keeps keys only, so that they cannot be made
    /// again.
    pub(super) keys_only: Vec<PastDecision>,
}

/// A decision that was made once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PastDecision {
    /// The version that it was made at, by the events that follow from it; by the ledger if there
    /// are none.
    pub(super) at: Version,
    /// The ledger's row.
    pub(super) record: CommandRecord,
    /// The events that followed from the decision, as places in [`Part::events`].
    pub(super) events: Range<usize>,
}

impl Part {
    /// Events without the decisions between them.
    pub(super) fn new(id: String, after: Version, events: Vec<Event>) -> Self {
        Self {
            id,
            goes_on: after != Version::EMPTY,
            after,
            events,
            decisions: Vec::new(),
            keys_only: Vec::new(),
        }
    }

    /// Adds decisions, in order; those that cannot be made again are set apart.
    pub(super) fn add(&mut self, decisions: impl IntoIterator<Item = PastDecision>) {
        for decision in decisions {
            match decision.record.ledger {
                LedgerMode::Full => self.decisions.push(decision),
                LedgerMode::Keys => self.keys_only.push(decision),
            }
        }
    }

    /// Counts the events of this part through version `at` (inclusive).
    pub(super) fn events_through(&self, at: Version) -> usize {
        self.after.events_to(at).min(self.events.len())
    }

    /// Gives the version after the last event.
    pub(super) fn end(&self) -> Version {
        self.after.plus(self.events.len())
    }

    /// Counts the bytes of the payloads' text.
    pub(super) fn bytes(&self) -> usize {
        let events: usize = self
            .events
            .iter()
            .map(|event| event.data.as_str().len())
            .sum();
        let commands = self
            .decisions
            .iter()
            .map(|decision| decision.record.data.as_str().len());
        events + commands.sum::<usize>()
    }
}
