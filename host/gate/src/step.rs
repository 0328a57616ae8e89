//! The steps of the gate.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A step of the gate, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The component is well formed, exports the world, imports only what is allowed, and compiles
    /// within limits.
    Validate,
    /// The manifest is valid; what it changes against the active module.
    Describe,
    /// The modules and consumers that read what the candidate writes, and the deciders whose events
    /// it reads.
    Dependents,
    /// The specifications hold, those of the candidate and those of the active module.
    Specs,
    /// The candidate folds every stream; its states against those of the active module.
    #[serde(rename = "re-fold")]
    Refold,
    /// The candidate decides every recorded command again; its decisions against the recorded ones.
    #[serde(rename = "re-decide")]
    Redecide,
    /// The candidate of a view folds the whole log into a table of its own.
    Build,
    /// The rows of a view's candidate, against those of the active module.
    Compare,
    /// The same bytes come of deciding or folding twice.
    Determinism,
    /// Fuel, and the size of states, against the active module.
    Cost,
}
