//! The tasks of processes: what their instances want to be done.

use std::fmt;

use time::OffsetDateTime;

use super::{DeciderName, Json, Metadata, StreamKey, Version};

/// The longest id of a task, in bytes (inclusive).
const TASK_ID_LIMIT_BYTES: usize = 128;

/// The name that a module gives a task, unique within its instance: 1 to 128 bytes of text without
/// control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Box<str>);

/// The reason for which a text is no id of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task's id is 1 to {TASK_ID_LIMIT_BYTES} bytes of text without control characters")]
pub struct TaskIdError;

impl TaskId {
    /// Checks a text.
    ///
    /// # Errors
    ///
    /// [`TaskIdError`] when it breaks a rule.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, TaskIdError> {
        let text = text.into();
        let is_sound = (1..=TASK_ID_LIMIT_BYTES).contains(&text.len());
        if is_sound && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(TaskIdError)
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that an instance of a process wants to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The id. A send is known by it alone, a wait by it and its time.
    pub id: TaskId,
    /// The thing that is to be done.
    pub action: TaskAction,
}

/// The kinds of tasks.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskAction {
    /// A command is to be sent.
    Send(Order),
    /// A time is to be waited for, in UTC and whole milliseconds; one that is past is due at once.
    WaitUntil(OffsetDateTime),
}

/// A command that an instance of a process wants to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The decider, which need not be one that the process may send commands to.
    pub decider: DeciderName,
    /// The id of the stream within its decider.
    pub stream: StreamKey,
    /// The name of the command, which need not be one that the process may send.
    pub command: String,
    /// The payload.
    pub data: Json,
    /// The version that the stream must have; none for any.
    pub expected_version: Option<Version>,
    /// The metadata that the module attaches.
    pub metadata: Metadata,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_id_is_short_text_without_control_characters() {
        for accepted in ["reserve", "remind-2", " ", "日本", &"x".repeat(128)] {
            assert_eq!(TaskId::new(accepted).unwrap().as_str(), accepted);
        }
        for refused in ["", "a\0", "a\nb", "\u{85}", &"x".repeat(129)] {
            assert_eq!(TaskId::new(refused), Err(TaskIdError), "{refused:?}");
        }
    }
}
