//! Instances of processes and their tasks: what was folded from events, and what is to be done.
//!
//! A *roster* is all that one module makes of the log under one name: its instances, the tasks that
//! they list, and how far it has come. A candidate has a roster of its own beside that of the
//! active module; what is to be done is taken from the roster of the active one only.

mod change;
mod id;
mod roster;
mod task;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{DeciderName, Position, ProcessId, StreamKey};
use uuid::Uuid;

pub use change::{InstancesChange, ListedTask, ParkedInstance, PutInstance, RosterCommitError};
pub use id::RosterId;
pub use roster::{InstanceFilter, InstanceSummary, NewRoster, Roster, RosterHold, StoredInstance};
pub use task::{
    DueWaits, Listing, RetryTasks, SettledTask, Settlement, StoredTask, TaskDifference, TaskOrigin,
    TaskState,
};

use super::{Error, Page};

/// Keeps instances of processes and their tasks, in the database of the log.
///
/// - Instances, tasks and the progress of their roster change together or not at all.
/// - A roster MUST NOT move from one position to another unless it stands where the change says: so
///   of several hosts that fold the same events one is the first, and nothing is folded twice.
/// - Each task has an *effect*: the id of what is done for it
///   ([`Life::effect_of`](gavel_model::Life::effect_of)). All rosters of a process have a task of
///   the same effect in the same state, with the same content: those of the first that has listed
///   it.
/// - A roster that is not there is empty to those who read it, unless a method says otherwise.
/// - All of it follows from the log, the ledger and the rosters' own beginning: a store MAY lose it
///   together with the progress; it is folded again, and nothing is done twice, since effects stay
///   the same.
/// - A commit MUST be as durable as an append.
///
/// What an instance learns besides events of deciders is in [its
/// stream](gavel_model::ProcessId::stream), to which the host appends without a command
/// ([`EventStore::append`](crate::EventStore::append)): its events are registered by the activation
/// of the process, whose [`NewActivation::events`](crate::NewActivation) are those of
/// [`events_of_processes`](gavel_model::events_of_processes).
#[async_trait]
pub trait ProcessStore: Debug + Send + Sync {
    /// All rosters, by id.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn rosters(&self) -> Result<Vec<Roster>, Error>;

    /// Makes a roster, empty, that begins after a position. If there is one of the same process and
    /// module already, that is the answer.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be made.
    async fn create_roster(&self, new: NewRoster) -> Result<Roster, Error>;

    /// Empties a roster, which is where it has begun again. Tasks that were parked or answered are
    /// open again where they are listed again and no other roster of the process has them.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn restart_roster(&self, roster: RosterId) -> Result<(), Error>;

    /// Forgets a roster with its instances and tasks. One that is not there stays so.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be dropped.
    async fn drop_roster(&self, roster: RosterId) -> Result<(), Error>;

    /// Pauses a process, or lets it go on: a mark for hosts, on all its rosters and those to come
    /// while it has any. The store keeps nobody from changing what is paused.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn pause_process(&self, process: &ProcessId, is_paused: bool) -> Result<(), Error>;

    /// The instances of some keys as they are, in the order of the keys, with the tasks that their
    /// present lives list.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read, or there is no such roster.
    async fn instances(
        &self,
        roster: RosterId,
        keys: &[StreamKey],
    ) -> Result<Vec<StoredInstance>, Error>;

    /// Carries out a change of instances and tasks together with the progress.
    ///
    /// A task that is listed anew takes state and content of a task with the same effect where a
    /// roster of the process has one; otherwise it is open, or done where the change ends at or
    /// before [`Roster::skipped_through`]. A task that is listed no longer is forgotten, but for an
    /// open send, which stays as [`Listing::Withdrawn`] until it is settled; listed again, it has a
    /// new place.
    ///
    /// # Errors
    ///
    /// [`RosterCommitError`], after which nothing has changed.
    async fn commit_instances(&self, change: InstancesChange) -> Result<(), RosterCommitError>;

    /// A page of the open sends whose place is after one, by place, without those to deciders that
    /// are `resting`, and without those behind a parked send of the same instance to the same
    /// stream. Withdrawn ones are among them.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn sends(
        &self,
        roster: RosterId,
        after: i64,
        resting: &[DeciderName],
        limit: u32,
    ) -> Result<Page<StoredTask>, Error>;

    /// The open waits that are over, those first whose time came first; and the time until the next
    /// one. All by the clock of the store.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn due_waits(&self, roster: RosterId, limit: u32) -> Result<DueWaits, Error>;

    /// Writes down what has become of tasks, in all rosters of a process, by their effects. A task
    /// that is [`Listing::Listed`] stays with its new state, others are forgotten when they are
    /// done. One that is not there any more, or is done, stays so.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn settle(&self, process: &ProcessId, settled: &[SettledTask]) -> Result<(), Error>;

    /// Opens parked tasks again in all rosters of a process. Gives how many effects that were.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn retry_tasks(&self, process: &ProcessId, which: &RetryTasks) -> Result<u64, Error>;

    /// The tasks of an instance, by place, whatever their state and life.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn tasks_of(&self, roster: RosterId, key: &StreamKey) -> Result<Vec<StoredTask>, Error>;

    /// A page of the instances that are there, by the bytes of their keys after one of them.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn list_instances(
        &self,
        roster: RosterId,
        filter: InstanceFilter,
        after: Option<&StreamKey>,
        limit: u32,
    ) -> Result<Page<InstanceSummary>, Error>;

    /// The positions of the events that wait behind a parked instance, after one of them.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    async fn held_inputs(
        &self,
        roster: RosterId,
        key: &StreamKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error>;

    /// A page of the tasks by which two rosters of a process differ, by effect after one of them:
    /// tasks that one lists and the other does not, where either is open or parked, and tasks of
    /// both with other data.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read, or there is no such roster.
    async fn task_differences(
        &self,
        candidate: RosterId,
        active: Option<RosterId>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Page<TaskDifference>, Error>;

    /// Marks all that a candidate has listed until now, and the active roster has not, as done
    /// without being done, in all rosters of the process: the position that the candidate stands
    /// at becomes its [`Roster::skipped_through`]. What both have keeps its state.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written, or there is no such roster.
    async fn skip_tasks(&self, candidate: RosterId, active: Option<RosterId>) -> Result<(), Error>;

    /// Keeps changes away from some rosters until the hold is dropped: a commit that is under way
    /// comes first, and those that come meanwhile are refused with [`RosterCommitError::Held`]. It
    /// ends by itself after `longest`. Reads and settlements go on.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be reached, or somebody else holds one of the rosters.
    async fn hold_rosters(
        &self,
        rosters: &[RosterId],
        longest: Duration,
    ) -> Result<Box<dyn RosterHold>, Error>;
}
