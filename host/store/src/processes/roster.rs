//! Rosters and instances, as all hosts see them.

use std::fmt;

use async_trait::async_trait;
use gavel_model::{EventId, Json, ModuleDigest, Position, ProcessId, StreamKey, Task};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ParkedInstance, RosterId};
use crate::Error;

/// A roster that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRoster {
    /// The process.
    pub process: ProcessId,
    /// The module that folds.
    pub digest: ModuleDigest,
    /// The position (exclusive) after which it begins.
    pub start: Position,
}

/// All that one module makes of the log under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Roster {
    /// The id of the roster.
    pub id: RosterId,
    /// The process.
    pub process: ProcessId,
    /// The module that folds.
    pub digest: ModuleDigest,
    /// The position (exclusive) after which it has begun.
    pub start: Position,
    /// The position through which all events are folded, or held behind a parked instance.
    pub position: Position,
    /// The position (inclusive) through which tasks are done without being done; the beginning
    /// where that is none.
    pub skipped_through: Position,
    /// Tells whether the process is [paused](super::ProcessStore::pause_process).
    pub is_paused: bool,
    /// The number of instances that have a state.
    pub instances: u64,
    /// The number of instances that are parked.
    pub parked_instances: u64,
    /// The number of tasks that are listed and open.
    pub open_tasks: u64,
    /// The number of tasks that are parked.
    pub parked_tasks: u64,
    /// The time since which it is there, by the clock of the store.
    pub created_at: OffsetDateTime,
}

/// An instance as it is stored, to be folded further.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredInstance {
    /// The event that its life began with; none if it is not there.
    pub birth: Option<EventId>,
    /// The state; none if it is not there.
    pub state: Option<Json>,
    /// Tells whether the instance is parked.
    pub is_parked: bool,
    /// The tasks that it lists, in the order in which they were listed, whatever their state; with
    /// their effects.
    pub listed: Vec<(Uuid, Task)>,
}

/// The instances that a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceFilter {
    /// All that are there.
    Open,
    /// The parked ones, and those with a parked task.
    Parked,
}

/// An instance in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceSummary {
    /// The key.
    pub key: StreamKey,
    /// The event that its life began with, or begins with if it is parked at the first one.
    pub birth: EventId,
    /// The state; none if there is only something left to do, or nothing folded yet.
    pub state: Option<Json>,
    /// The position of the newest input that is folded; the beginning without a state.
    pub position: Position,
    /// The input that the instance is parked at, if it is.
    pub parked: Option<ParkedInstance>,
    /// The number of tasks that are open, withdrawn ones among them.
    pub open_tasks: u64,
    /// The number of tasks that are parked.
    pub parked_tasks: u64,
    /// The first time that it waits for, if it waits.
    pub next_wait: Option<OffsetDateTime>,
}

/// Rosters that nothing changes. Dropped, it lets go of them.
#[async_trait]
pub trait RosterHold: fmt::Debug + Send + Sync {
    /// The positions of the rosters, in the order in which they were named; none for one that is
    /// not there.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read, or the rosters were not held until now.
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error>;
}

impl InstanceSummary {
    /// The size of what is kept of it, for pages.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let state = self.state.as_ref().map_or(0, |state| state.as_str().len());
        let reason = self.parked.as_ref().map_or(0, |parked| parked.reason.len());
        self.key.as_str().len() + state + reason
    }
}
