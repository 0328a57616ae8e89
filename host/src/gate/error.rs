//! Why an activation did not take place.

use crate::core::{DeciderName, Json};
use crate::modules;
use crate::runtime::RunError;
use crate::store;

/// Why an activation did not take place. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The decider was never active.
    #[error("decider {decider} was never active")]
    DeciderNotFound {
        /// The decider.
        decider: DeciderName,
    },
    /// Only one module was ever active.
    #[error("decider {decider} has no former module")]
    NothingToRollBackTo {
        /// The decider.
        decider: DeciderName,
    },
    /// The gate has found something that nobody has accepted.
    #[error("the gate refuses the module")]
    Refused {
        /// What it found.
        report: Json,
    },
    /// Other activations came first, again and again.
    #[error("decider {decider} is being activated by others")]
    Contended {
        /// The decider.
        decider: DeciderName,
    },
    /// The module cannot be had.
    #[error("the module could not be loaded")]
    Module(#[source] modules::Error),
    /// The guests' threads did not take the call.
    #[error("the module could not be called")]
    NotRun(#[source] RunError),
    /// The store failed.
    #[error("the store could not be used")]
    Store(#[source] store::Error),
}
