//! Tasks, and what becomes of them.

use std::time::Duration;

use gavel_model::{DeciderName, EventId, StreamKey, Task, TaskAction, TaskId};
use time::OffsetDateTime;
use uuid::Uuid;

/// A task of an instance, as it was listed first.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTask {
    /// The place in the order in which tasks were listed in the roster, ascending with gaps.
    pub place: i64,
    /// The id of what is done for it.
    pub effect: Uuid,
    /// The instance.
    pub key: StreamKey,
    /// The event that the life of the instance began with which has listed it.
    pub birth: EventId,
    /// The task.
    pub task: Task,
    /// The input that it follows from.
    pub origin: TaskOrigin,
    /// The wish of the instance.
    pub listing: Listing,
    /// The outcome so far.
    pub state: TaskState,
}

impl StoredTask {
    /// The time that the task waits for, if it is a wait.
    #[must_use]
    pub fn waits_until(&self) -> Option<OffsetDateTime> {
        match self.task.action {
            TaskAction::Send(_) => None,
            TaskAction::WaitUntil(time) => Some(time),
        }
    }

    /// The size of what is kept of it, for pages.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let order = match &self.task.action {
            TaskAction::Send(order) => {
                let metadata = order.metadata.entries().iter();
                let metadata = metadata.map(|(key, value)| key.len() + value.len());
                order.data.as_str().len() + order.command.len() + metadata.sum::<usize>()
            }
            TaskAction::WaitUntil(_) => 0,
        };
        let texts = [
            self.key.as_str(),
            self.task.id.as_str(),
            &self.origin.correlation,
        ];
        order + texts.map(str::len).into_iter().sum::<usize>()
    }
}

/// The input that a task follows from, and its place in a chain of commands and events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOrigin {
    /// The event.
    pub event: EventId,
    /// The correlation id of the event; that id where it has none.
    pub correlation: String,
    /// The number of processes that one after the other led to this task, from 1.
    pub depth: u32,
}

/// The wish of an instance about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// The task is to be done, and the instance says when it is not any more.
    Listed,
    /// The task is to be done, and the instance, which is one event and has no state, says no more
    /// of it. It is forgotten when it is done.
    Once,
    /// The task is not to be done any more. A command that was under way may still be answered; one
    /// that was not is not sent.
    Withdrawn,
}

impl Listing {
    /// All of them.
    const ALL: [Self; 3] = [Self::Listed, Self::Once, Self::Withdrawn];

    /// The name, as stores keep it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Once => "once",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// The outcome of a task so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// The task is to be done.
    Open,
    /// The task is done, or is not to be done any more.
    Done,
    /// The task cannot be done as things are: a person has to look at it.
    Parked {
        /// The reason, one sentence.
        reason: String,
        /// The time since when, by the clock of the store.
        since: OffsetDateTime,
    },
}

/// The outcome of the task of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledTask {
    /// The effect.
    pub effect: Uuid,
    /// The outcome.
    pub outcome: Settlement,
}

/// The ways in which a task ends, or stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The task is done, or given up; or it was withdrawn before it was begun.
    Done,
    /// A person has to look at the task, for a reason of one sentence.
    Parked(String),
}

/// The parked tasks that are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryTasks {
    /// One task of an instance, of whichever life.
    One(StreamKey, TaskId),
    /// The commands to a decider.
    To(DeciderName),
}

/// Waits that are over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DueWaits {
    /// The waits, those first whose time came first.
    pub waits: Vec<StoredTask>,
    /// The time from now until the first of those that are not over; none if there is none.
    pub next: Option<Duration>,
}

/// A task by which two rosters differ.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDifference {
    /// The task as the candidate lists it.
    pub candidate: Option<StoredTask>,
    /// The task as the active module lists it.
    pub active: Option<StoredTask>,
}

impl TaskState {
    /// The name, as stores keep it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Parked { .. } => "parked",
        }
    }

    /// The one with this name, which has a reason and a time if it is parked.
    #[must_use]
    pub fn from_name(
        name: &str,
        reason: Option<String>,
        since: Option<OffsetDateTime>,
    ) -> Option<Self> {
        match (name, reason, since) {
            ("open", ..) => Some(Self::Open),
            ("done", ..) => Some(Self::Done),
            ("parked", Some(reason), Some(since)) => Some(Self::Parked { reason, since }),
            _ => None,
        }
    }

    /// Tells whether the task is still to be done.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Tells whether somebody has to look at the task.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self, Self::Parked { .. })
    }
}

impl TaskDifference {
    /// The size of what is kept of both, for pages.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let tasks = self.candidate.iter().chain(&self.active);
        tasks.map(StoredTask::size_bytes).sum()
    }
}
