//! The inputs of a process: all that an instance learns.

use crate::log::{self, EventText, Foreign, Recorded, Timestamp};

/// Something that an instance learns, and the time at which it was stored.
///
/// A process has no other clock: deadlines are computed from the times of its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input<E> {
    /// The time at which it was stored.
    pub at: Timestamp,
    /// The news itself.
    pub what: News<E>,
}

/// The kinds of things that an instance learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News<E> {
    /// An event whose keys name the instance.
    Event(Recorded<E>),
    /// A wait is over. `todo` listed that task with that time just before.
    Due {
        /// The id of the task.
        task: String,
        /// The time that it was for.
        time: Timestamp,
    },
    /// A command of the instance was rejected, or can never be carried out.
    Rejected {
        /// The id of the task.
        task: String,
        /// The reason.
        rejection: TaskRejection,
    },
    /// A command of the instance was accepted. It is told only to a process with `accepted = true`.
    Accepted {
        /// The id of the task.
        task: String,
    },
    /// A person gave up a task.
    Abandoned {
        /// The id of the task.
        task: String,
    },
}

/// The reason for which a command of a process was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRejection {
    /// The code: one of the decider's, `stream-final` or `version-conflict`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Facts for programs: one JSON document.
    pub data: Option<String>,
}

impl<E> Input<E> {
    /// An input, at the time `ms` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn new(ms: u64, what: News<E>) -> Self {
        Self {
            at: Timestamp::from_ms(ms),
            what,
        }
    }
}

impl Input<EventText> {
    /// The same input, whose event is read in the schema version in which it is stored.
    pub(super) fn read<E: Foreign>(self) -> Result<Input<E>, String> {
        let what = match self.what {
            News::Event(event) => News::Event(log::read(event)?),
            News::Due { task, time } => News::Due { task, time },
            News::Rejected { task, rejection } => News::Rejected { task, rejection },
            News::Accepted { task } => News::Accepted { task },
            News::Abandoned { task } => News::Abandoned { task },
        };
        Ok(Input { at: self.at, what })
    }
}
