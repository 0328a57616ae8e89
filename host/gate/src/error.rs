//! Errors of the gate.

use gavel_engine::catalog;
use gavel_model::{ActivationKey, CommandId, EventId, Json, ModuleKind, ModuleName, RehearsalId};
use gavel_sandbox::RunError;
use gavel_store as store;

/// A reason for which the gate has no answer, or refuses. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No module was ever active there, or none is any more.
    #[error("{key} has no active module")]
    NotActive {
        /// The pointer.
        key: ActivationKey,
    },
    /// The name has events or activations of another kind in the namespace.
    #[error("the name {name} belongs to a {kind}")]
    NameTaken {
        /// The name.
        name: ModuleName,
        /// The kind to which it belongs.
        kind: ModuleKind,
    },
    /// Only one module was ever active.
    #[error("{key} has no former module")]
    NothingToRollBackTo {
        /// The pointer.
        key: ActivationKey,
    },
    /// The gate has a blocking finding, of one of the modules, that nobody has accepted.
    #[error("the gate refuses to activate")]
    Refused {
        /// The report about each module, in the order of the requests.
        reports: Vec<Json>,
    },
    /// The modules cannot be activated together.
    #[error("the modules cannot be activated together")]
    Unfit(#[source] store::UnfitSet),
    /// More modules were named than are activated together.
    #[error("at most {limit} modules are activated together")]
    TooMany {
        /// The most that there may be.
        limit: usize,
    },
    /// Other activations came first, again and again, or more was written each time than could be
    /// looked at.
    #[error("{} is being activated by others, or too much is written to it", list(.keys))]
    Contended {
        /// The pointers.
        keys: Vec<ActivationKey>,
    },
    /// The view is paused, and behind: its rows cannot be compared with those of another module.
    #[error("{key} is paused")]
    Paused {
        /// The pointer.
        key: ActivationKey,
    },
    /// The namespace has no such rehearsal.
    #[error("there is no rehearsal {id}")]
    RehearsalNotFound {
        /// The rehearsal's id.
        id: RehearsalId,
    },
    /// The namespace has no such event.
    #[error("there is no event {event_id}")]
    EventNotFound {
        /// The event's id.
        event_id: EventId,
    },
    /// The ledger of this namespace has no such command.
    #[error("there is no command {command_id}")]
    CommandNotFound {
        /// The command's id.
        command_id: CommandId,
    },
    /// The caller has cancelled the request.
    #[error("cancelled")]
    Cancelled,
    /// This host has as many rehearsals, shadows or verifications under way as it takes, of the
    /// namespace or of all.
    #[error("all {limit} slots for work of this kind are in use")]
    Busy {
        /// The most that the host takes.
        limit: usize,
    },
    /// The module cannot be had.
    #[error("the module could not be loaded")]
    Module(#[source] catalog::Error),
    /// The guests' threads did not take the call.
    #[error("the module could not be called")]
    NotRun(#[source] RunError),
    /// The store failed.
    #[error("the store could not be used")]
    Store(#[source] store::Error),
}

fn list(keys: &[ActivationKey]) -> String {
    let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
    keys.join(", ")
}
