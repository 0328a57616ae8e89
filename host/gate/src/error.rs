//! Why the gate has no answer.

use gavel_engine::catalog;
use gavel_model::{ActivationKey, CommandId, EventId, Json, ModuleKind, ModuleName, RehearsalId};
use gavel_sandbox::RunError;
use gavel_store as store;

/// Why the gate has no answer, or says no. Nothing has changed.
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
    /// The gate has found something that nobody has accepted.
    #[error("the gate refuses the module")]
    Refused {
        /// What it found.
        report: Json,
    },
    /// Other activations came first, again and again, or more was written each time than could be looked at.
    #[error("{key} is being activated by others, or too much is written to it")]
    Contended {
        /// The pointer.
        key: ActivationKey,
    },
    /// There is no such rehearsal in this namespace.
    #[error("there is no rehearsal {id}")]
    RehearsalNotFound {
        /// Its id.
        id: RehearsalId,
    },
    /// There is no such event in this namespace.
    #[error("there is no event {event_id}")]
    EventNotFound {
        /// Its id.
        event_id: EventId,
    },
    /// The ledger of this namespace has no such command.
    #[error("there is no command {command_id}")]
    CommandNotFound {
        /// Its id.
        command_id: CommandId,
    },
    /// Whoever has asked does not want to know any more.
    #[error("cancelled")]
    Cancelled,
    /// This host has as many rehearsals, shadows or verifications under way as it takes, of the namespace or of all.
    #[error("{limit} of the kind are under way")]
    Busy {
        /// How many it takes.
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
