//! Changes of instances, and what cannot be folded.

use gavel_model::{EventId, Json, Position, StreamKey, Task};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Error, Source};
use super::{Listing, RosterId, TaskOrigin};

/// A change of a roster, from one position of the log to another.
#[derive(Debug, Clone, PartialEq)]
pub struct InstancesChange {
    /// The roster.
    pub roster: RosterId,
    /// The position where the roster has to stand.
    pub from: Position,
    /// The position where the roster stands afterwards; may be the same.
    pub to: Position,
    /// The instances that there are afterwards. No key is in two of the lists of instances.
    pub put: Vec<PutInstance>,
    /// The instances whose life ends: they are gone, and their tasks go on by themselves.
    pub ended: Vec<StreamKey>,
    /// The tasks that are listed no longer, by effect. They come before those that are listed anew.
    pub gone: Vec<Uuid>,
    /// The tasks that are listed anew, in the order in which to begin them. No effect comes twice.
    pub added: Vec<ListedTask>,
    /// The instances that are parked from now on, in place of what was said of them before. What
    /// was held behind one of them after its event is held on.
    pub parked: Vec<ParkedInstance>,
    /// The instances that are not parked any more; nothing is held behind them.
    pub unparked: Vec<StreamKey>,
    /// The inputs that are held behind instances that are parked, be it by this change. An instance
    /// that is not parked any more was retried since the change was computed: the roster has moved.
    pub held: Vec<(StreamKey, Position)>,
}

/// An instance as it is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct PutInstance {
    /// The key.
    pub key: StreamKey,
    /// The event that its life began with.
    pub birth: EventId,
    /// The state.
    pub state: Json,
    /// The position of the newest input that is folded.
    pub position: Position,
}

/// A task that is listed anew.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTask {
    /// The id of what is done for it.
    pub effect: Uuid,
    /// The instance.
    pub key: StreamKey,
    /// The event that the life of the instance began with.
    pub birth: EventId,
    /// The task.
    pub task: Task,
    /// The input that it follows from.
    pub origin: TaskOrigin,
    /// [`Listing::Listed`], or [`Listing::Once`] for an instance without a state.
    pub listing: Listing,
}

/// An instance that cannot fold an input. The inputs after it are held.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedInstance {
    /// The key.
    pub key: StreamKey,
    /// The position of the input.
    pub position: Position,
    /// The event of the input.
    pub event_id: EventId,
    /// The reason, one sentence.
    pub reason: String,
    /// The time at which it was parked, by the host's clock.
    pub since: OffsetDateTime,
}

impl InstancesChange {
    /// A change that moves a roster on, and nothing else.
    #[must_use]
    pub fn moving(roster: RosterId, from: Position, to: Position) -> Self {
        Self {
            roster,
            from,
            to,
            put: Vec::new(),
            ended: Vec::new(),
            gone: Vec::new(),
            added: Vec::new(),
            parked: Vec::new(),
            unparked: Vec::new(),
            held: Vec::new(),
        }
    }
}

/// The reason for which a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum RosterCommitError {
    /// The roster stands elsewhere: another host was faster.
    #[error("the roster is not where the change begins")]
    Moved,
    /// The roster is not there any more.
    #[error("the roster is not there any more")]
    Gone,
    /// The roster is held. Try again soon.
    #[error("the roster is held")]
    Held,
    /// The store failed. Where its answer was lost, the change may have been made all the same: the
    /// position of the roster tells.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<Source> for RosterCommitError {
    fn from(source: Source) -> Self {
        Self::Store(Error::Unavailable(source))
    }
}
