//! The tasks of processes: what their instances want to be done.

use std::fmt;

use time::OffsetDateTime;
use uuid::{Builder, Uuid};

use super::module::module_id;
use super::{
    CommandId, DeciderName, EventId, EventType, Fingerprint, Json, Metadata, StreamId, StreamKey,
    Version,
};

/// The longest id of a task, in bytes (inclusive).
const TASK_ID_LIMIT_BYTES: usize = 128;

module_id! {
    /// Names one process of the installation, which folds the events of its namespace and acts in
    /// it.
    ProcessId, Process
}

impl ProcessId {
    /// The stream to which the host appends what an instance learns besides events of deciders.
    #[must_use]
    pub fn stream(&self, key: &StreamKey) -> StreamId {
        StreamId::of_key(self.namespace.clone(), self.name.to_decider(), key.clone())
    }
}

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

/// One life of an instance of a process, from an event on that it began with. What is done for it
/// is known by ids that follow from its life, so that nothing is done twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Life {
    /// The process.
    pub process: ProcessId,
    /// The key of the instance.
    pub key: StreamKey,
    /// The event that the life began with.
    pub birth: EventId,
}

impl Life {
    /// The id of what is done for a task: that of the command for a send, that of the event
    /// `WaitOver` for a wait. It is derived ([`is_derived`](super::is_derived)) from the life and
    /// the task, for a wait also from its time.
    #[must_use]
    pub fn effect_of(&self, task: &Task) -> Uuid {
        let birth = self.birth.as_hyphenated().to_string();
        let texts = [
            self.process.namespace().as_str(),
            self.process.name().as_str(),
            self.key.as_str(),
            &birth,
            task.id.as_str(),
        ];
        match &task.action {
            TaskAction::Send(_) => derived("task", texts),
            TaskAction::WaitUntil(time) => {
                let time = (time.unix_timestamp_nanos() / 1_000_000).to_string();
                derived("wait", texts.into_iter().chain([time.as_str()]))
            }
        }
    }
}

/// The events that hosts append to the streams of processes: [`EventType`]s that the activation of
/// a process registers for its name, as that of a decider registers the module's.
#[must_use]
pub fn events_of_processes() -> Vec<EventType> {
    let events = [
        (
            "TaskRejected",
            "A command was rejected, or can never be carried out.",
        ),
        ("TaskAccepted", "A command was accepted."),
        ("TaskAbandoned", "Somebody has given a task up."),
        ("WaitOver", "The time that a task has waited for is there."),
    ];
    let event_type = |(event, description): (&str, &str)| EventType {
        event: event.to_owned(),
        schema_version: 1,
        description: description.to_owned(),
    };
    events.map(event_type).into()
}

/// The id of the event that tells a process how one of its commands has ended: `what` is the name
/// of the event.
#[must_use]
pub fn event_of_outcome(command: CommandId, what: &str) -> EventId {
    derived("outcome", [&*command.as_hyphenated().to_string(), what])
}

/// A UUID of version 8 that follows from texts, of which no two lists give the same.
fn derived<'t>(purpose: &'t str, texts: impl IntoIterator<Item = &'t str>) -> Uuid {
    let fingerprint = Fingerprint::of(std::iter::once(purpose).chain(texts));
    let mut id = [0; 16];
    id.copy_from_slice(&fingerprint.as_bytes()[..16]);
    Builder::from_custom_bytes(id).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Namespace, is_derived};

    #[test]
    fn what_is_done_for_a_task_follows_from_life_and_task_alone() {
        let process = ProcessId::new(Namespace::default(), "billing").unwrap();
        let life = |key: &str, birth: u128| Life {
            process: process.clone(),
            key: StreamKey::new(key).unwrap(),
            birth: Uuid::from_u128(birth),
        };
        let wait = |id: &str, seconds: i64| Task {
            id: TaskId::new(id).unwrap(),
            action: TaskAction::WaitUntil(OffsetDateTime::from_unix_timestamp(seconds).unwrap()),
        };
        let send = |id: &str, data: &str| Task {
            id: TaskId::new(id).unwrap(),
            action: TaskAction::Send(Order {
                decider: DeciderName::new("invoice").unwrap(),
                stream: StreamKey::new("i-1").unwrap(),
                command: "Issue".to_owned(),
                data: Json::parse(data).unwrap(),
                expected_version: None,
                metadata: Metadata::default(),
            }),
        };
        let first = life("o-1", 1).effect_of(&send("a", "{}"));
        assert!(is_derived(first));
        assert_eq!(first, life("o-1", 1).effect_of(&send("a", "[1]")));
        // The ids of all releases: ledgers and logs hold them.
        assert_eq!(first.to_string(), "5ce638a4-633a-8736-b3b0-47f6f834e370");
        let others = [
            life("o-1", 2).effect_of(&send("a", "{}")),
            life("o-2", 1).effect_of(&send("a", "{}")),
            life("o-1", 1).effect_of(&send("b", "{}")),
            life("o-1", 1).effect_of(&wait("a", 1)),
            life("o-1", 1).effect_of(&wait("a", 2)),
            event_of_outcome(first, "TaskRejected"),
            event_of_outcome(first, "TaskAbandoned"),
        ];
        let mut all: Vec<Uuid> = others.into_iter().chain([first]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
        assert!(all.into_iter().all(is_derived));
    }

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
