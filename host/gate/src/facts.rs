//! The results of the steps, in numbers and examples.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cost::Cost;
use super::determinism::Repetition;
use super::redecided::Redecisions;
use super::refolded::RefoldFacts;
use super::step::Step;

/// The results of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "step", content = "facts", rename_all = "kebab-case")]
pub enum StepFacts {
    /// The component itself.
    Validate(ValidateFacts),
    /// The declarations.
    Describe(DescribeFacts),
    /// The modules and consumers of the namespace.
    Dependents(DependentsFacts),
    /// The specifications.
    Specs(SpecsFacts),
    /// The streams that were folded.
    #[serde(rename = "re-fold")]
    Refold(RefoldFacts),
    /// The commands that were decided again.
    #[serde(rename = "re-decide")]
    Redecide(Redecisions),
    /// The commands that were decided twice.
    Determinism(Repetition),
    /// The fuel and the sizes of states.
    Cost(Cost),
}

/// The results of looking at the component itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidateFacts {
    /// The imports of the component.
    pub imports: usize,
}

/// The results of comparing the declarations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DescribeFacts {
    /// The commands that the candidate declares.
    pub commands: usize,
    /// The events that the candidate declares, in each version of their schemas.
    pub events: usize,
}

/// The results of looking at the graph of the namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DependentsFacts {
    /// The other active modules that were looked at.
    pub modules: u64,
    /// The consumers that were looked at.
    pub consumers: u64,
}

/// The results of the specifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpecsFacts {
    /// The specifications that the candidate has to keep.
    pub specs: u64,
    /// Specifications that were run.
    pub run: u64,
    /// Specifications that do not hold.
    pub failed: u64,
}

impl StepFacts {
    /// Gives the step that has these results.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Validate(_) => Step::Validate,
            Self::Describe(_) => Step::Describe,
            Self::Dependents(_) => Step::Dependents,
            Self::Specs(_) => Step::Specs,
            Self::Refold(_) => Step::Refold,
            Self::Redecide(_) => Step::Redecide,
            Self::Determinism(_) => Step::Determinism,
            Self::Cost(_) => Step::Cost,
        }
    }
}
