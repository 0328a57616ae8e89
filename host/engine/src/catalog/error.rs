//! Errors of uploading, finding and using modules.

use gavel_model::{ModuleDigest, ModuleKind, ModuleName};
use gavel_sandbox::{CONTRACT, CompileError, RunError};
use gavel_store as store;

/// A reason for which a module could not be taken, found or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A digest of which no module is stored.
    #[error("module {digest} is not stored")]
    NotFound {
        /// The digest.
        digest: ModuleDigest,
    },
    /// A module that is or was active, so it cannot be deleted: events name it.
    #[error("module {digest} is or was active")]
    InUse {
        /// The digest.
        digest: ModuleDigest,
    },
    /// A module that was built for another contract than this host keeps: it has to be built with
    /// the present SDK, and deployed again.
    #[error("module {digest} was built for {contract}, not for {}", CONTRACT)]
    Outdated {
        /// The digest.
        digest: ModuleDigest,
        /// The contract that the module was built for.
        contract: String,
        /// The name under which it is active, when it was asked for by that.
        name: Option<ModuleName>,
    },
    /// An invalid module; nothing was stored.
    #[error("the module is invalid: {}", .reasons.join("; "))]
    Invalid {
        /// All that is wrong with it, one sentence each; never empty.
        reasons: Vec<String>,
    },
    /// A module that could not be compiled now, for a reason that is not its own.
    #[error("the module could not be compiled")]
    Compile(#[source] CompileError),
    /// The guests' threads did not take the call.
    #[error("the module could not be called")]
    NotRun(#[source] RunError),
    /// The store failed.
    #[error("the store could not be used")]
    Store(#[source] store::Error),
}

impl Error {
    /// Refuses a module of a kind that this host describes, and does not run.
    #[must_use]
    pub fn not_run(kind: ModuleKind) -> Self {
        Self::Invalid {
            reasons: vec![format!(
                "this host does not run modules of the kind `{kind}`"
            )],
        }
    }

    /// Adds the name under which the module is active to an `Outdated` error.
    #[must_use]
    pub(super) fn of(self, active_as: &ModuleName) -> Self {
        match self {
            Self::Outdated {
                digest, contract, ..
            } => Self::Outdated {
                digest,
                contract,
                name: Some(active_as.clone()),
            },
            error => error,
        }
    }

    /// Tells whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::InUse { .. }
            | Self::Outdated { .. }
            | Self::Invalid { .. } => false,
            Self::Compile(error) => error.is_retryable(),
            Self::NotRun(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
        }
    }
}
