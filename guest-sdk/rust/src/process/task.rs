//! The tasks of a process: commands that are to be sent, and times that are to be waited for.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::log::Timestamp;
use crate::payload::encode;

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The author's own name for it, unique within its instance: `reserve`, `remind-2`.
    pub id: String,
    /// The thing that is to be done.
    pub action: Action,
}

/// The kinds of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A command is to be sent.
    Send(Order),
    /// A time is to be waited for. A time that is past is due at once.
    WaitUntil(Timestamp),
}

impl Task {
    /// A command that is to be sent.
    ///
    /// A send is known by its id: the order of its first listing is sent, whatever is listed later,
    /// and it is sent once. What is to be tried again after a rejection has another id.
    pub fn send(id: impl Into<String>, order: Order) -> Self {
        Self {
            id: id.into(),
            action: Action::Send(order),
        }
    }

    /// A time that is to be waited for; one that is past is due at once.
    ///
    /// A wait is known by its id and its time: with another time it is another wait, and the former
    /// one is over without having been due.
    pub fn wait_until(id: impl Into<String>, time: Timestamp) -> Self {
        Self {
            id: id.into(),
            action: Action::WaitUntil(time),
        }
    }
}

/// A command that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The decider that the command is for.
    pub decider: &'static str,
    /// The id of the stream within its decider.
    pub stream_id: String,
    /// The name of the command.
    pub command: &'static str,
    /// The payload as JSON.
    pub data: String,
    /// The version that the stream must have; none for any.
    pub expected_version: Option<u64>,
    /// The metadata of the command.
    pub metadata: BTreeMap<String, String>,
    /// The reason for which the command cannot be written as JSON: such an order is never sent, but
    /// a fault of the instance that lists it.
    fault: Option<String>,
}

impl Order {
    /// The order to send `command` to the stream with this id.
    pub fn new<C: Target>(stream_id: impl Into<String>, command: &C) -> Self {
        let (command, data, fault) = match encode(command) {
            Ok(encoded) => (encoded.name, encoded.data, None),
            Err(error) => ("", None, Some(error.to_string())),
        };
        Self {
            decider: C::DECIDER,
            stream_id: stream_id.into(),
            command,
            data: data.unwrap_or_else(|| "{}".to_owned()),
            expected_version: None,
            metadata: BTreeMap::new(),
            fault,
        }
    }

    /// The same order, which is rejected (`version-conflict`) unless the stream has this version.
    #[must_use]
    pub fn expected_version(self, version: u64) -> Self {
        Self {
            expected_version: Some(version),
            ..self
        }
    }

    /// The same order with metadata, in the place of any under the same key. Keys that begin with
    /// `gavel-` are the host's.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Tells why it cannot be sent by a process that sends these commands of these deciders.
    pub(super) fn fault(&self, sends: &[(&str, &[&str])]) -> Option<String> {
        let Self {
            decider, command, ..
        } = self;
        if let Some(error) = &self.fault {
            return Some(format!(
                "its command to {decider} cannot be written as JSON: {error}"
            ));
        }
        let is_listed = sends
            .iter()
            .any(|(target, commands)| target == decider && commands.contains(command));
        (!is_listed).then(|| format!("the process sends no {command} to {decider}"))
    }
}

/// The commands of a decider that a process sends: an enum, whose variants are the decider's
/// commands by their names and data. Derive it with [`Target`](macro@crate::Target).
///
/// ```
/// use gavel::{Order, Target};
/// use serde::Serialize;
///
/// #[derive(Serialize, gavel::Target)]
/// #[target(decider = "order")]
/// enum OrderCommand {
///     CreateOrder { restaurant_identifier: String },
/// }
///
/// let order = Order::new("o-1", &OrderCommand::CreateOrder {
///     restaurant_identifier: "r-1".into(),
/// });
/// assert_eq!((order.decider, order.command), ("order", "CreateOrder"));
/// assert_eq!(OrderCommand::COMMANDS, ["CreateOrder"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whose commands it holds",
    note = "add `#[derive(serde::Serialize, gavel::Target)]` and `#[target(decider = \"…\")]` to an enum with the commands of one decider"
)]
pub trait Target: Serialize {
    /// The decider that the commands are for.
    const DECIDER: &'static str;

    /// The names of the commands.
    const COMMANDS: &'static [&'static str];
}
