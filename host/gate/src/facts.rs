//! The results of the steps, in numbers and examples.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cost::Cost;
use super::determinism::Repetition;
use super::redecided::Redecisions;
use super::refolded::RefoldFacts;
use super::step::Step;
use super::views::{Built, RowCost, RowDifferences, RowRepetition};

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
    /// The rows that were built.
    Build(Built),
    /// The rows that were compared.
    Compare(RowDifferences),
    /// The commands that were decided twice, or the events that were folded twice.
    Determinism(DeterminismFacts),
    /// The fuel and the sizes of states.
    Cost(CostFacts),
}

/// The results of doing the same twice, by the kind of the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum DeterminismFacts {
    /// The commands of a decider.
    Commands(Repetition),
    /// The rows of a view.
    Rows(RowRepetition),
}

/// The cost of a candidate, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum CostFacts {
    /// The commands of a decider.
    Commands(Cost),
    /// The rows of a view.
    Rows(RowCost),
}

/// The results of looking at the component itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidateFacts {
    /// The imports of the component.
    pub imports: usize,
}

/// The results of comparing the declarations, by the kind of the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum DescribeFacts {
    /// The declarations of a decider.
    Decider(DeclaredTypes),
    /// The declarations of a view.
    View(ViewFacts),
}

/// The declarations of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ViewFacts {
    /// The columns of the rows.
    pub columns: Vec<String>,
    /// The members of rows that are no columns.
    pub in_row_alone: Vec<String>,
    /// The indexes over the rows.
    pub indexes: Vec<Vec<String>>,
    /// The number of events that the view reads.
    pub reads: usize,
    /// The name by which SQL reads the rows; null if there is none.
    pub sql_name: Option<String>,
}

/// The declarations of a decider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeclaredTypes {
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
            Self::Build(_) => Step::Build,
            Self::Compare(_) => Step::Compare,
            Self::Determinism(_) => Step::Determinism,
            Self::Cost(_) => Step::Cost,
        }
    }
}
