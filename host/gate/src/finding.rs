//! Findings of the gate: each kind of them, with its facts.
//!
//! A finding is stored and sent as an object with `name`, `step`, `summary`, `details`, `blocks`
//! and `accepted`. Its name up to a colon is its kind, by which `details` is read.

use std::num::ParseIntError;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::step::Step;

/// A finding of the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "StoredFinding")]
pub struct Finding {
    /// The name under which a person can accept it: `schema`, `dependents:<kind>/<name>`,
    /// `specs:<title>`, `decisions`, `determinism`, `cost`, and of a view `columns`, `build` and
    /// `rows`, or `rows:412` for so many rows at most. Nobody can accept `re-fold`: a module that
    /// cannot fold a stream never becomes active.
    pub name: String,
    /// The step that found it.
    pub step: Step,
    /// One sentence for people.
    pub summary: String,
    /// Facts for programs, by the kind of the finding.
    pub details: FindingDetails,
    /// Tells whether the finding blocks the candidate unless it is accepted.
    pub blocks: bool,
    /// Tells whether a person has accepted the finding.
    pub accepted: bool,
}

/// A finding whose kind is not known yet.
#[derive(Deserialize)]
struct StoredFinding {
    name: String,
    summary: String,
    details: Value,
    blocks: bool,
    accepted: bool,
}

/// Declares the kinds of findings: the facts of each, the first part of its name, and its step.
///
/// A macro, because each line stands for five that must not be without the others: a variant, its
/// name, its step, how it is read, and its schema.
macro_rules! finding_kinds {
    ($($(#[$doc:meta])+ $kind:ident($facts:ty), $name:literal, $step:ident;)+) => {
        /// The facts of a finding, by its kind.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum FindingDetails {
            $($(#[$doc])+ $kind($facts),)+
        }

        impl FindingDetails {
            fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)+
                }
            }

            fn step(&self) -> Step {
                match self {
                    $(Self::$kind(_) => Step::$step,)+
                }
            }

            fn read(kind: &str, details: Value) -> Result<Self, serde_json::Error> {
                match kind {
                    $($name => serde_json::from_value(details).map(Self::$kind),)+
                    _ => Err(serde_json::Error::custom(format!("unknown finding `{kind}`"))),
                }
            }
        }

        impl PartialSchema for FindingDetails {
            fn schema() -> RefOr<Schema> {
                let any = AnyOfBuilder::new();
                $(let any = any.item(<$facts>::schema());)+
                Schema::AnyOf(any.build()).into()
            }
        }

        impl ToSchema for FindingDetails {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                $(<$facts as ToSchema>::schemas(schemas);)+
            }
        }
    };
}

finding_kinds! {
    /// A command or an event is declared otherwise than by the active module.
    Schema(SchemaChange), "schema", Describe;
    /// A module or a consumer depends on the candidate, or the candidate on a decider.
    Dependents(DependentFinding), "dependents", Dependents;
    /// A specification does not hold, or was not run.
    Specs(SpecFinding), "specs", Specs;
    /// The candidate cannot fold streams.
    Refold(StreamsFinding), "re-fold", Refold;
    /// Streams have another state than with the active module.
    States(StreamsFinding), "states", Refold;
    /// Recorded commands would be decided otherwise.
    Decisions(CommandsFinding), "decisions", Redecide;
    /// The columns of a view cannot keep their place or type in SQL.
    Columns(ColumnsFinding), "columns", Describe;
    /// Rows cannot be folded by the candidate of a view.
    Build(RowsFinding), "build", Build;
    /// Rows of a view would be others.
    Rows(RowsFinding), "rows", Compare;
    /// What is decided or folded twice gives different bytes.
    Determinism(DeterminismFinding), "determinism", Determinism;
    /// Commands need more fuel than is allowed.
    Cost(CostFinding), "cost", Cost;
}

/// A command or an event that the candidate declares otherwise than the active module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SchemaChange {
    /// An event allows less, or is no longer declared.
    Event(EventChange),
    /// A command accepts less, or is no longer declared.
    Command(CommandChange),
}

/// A change of an event's declaration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventChange {
    /// The name of the event.
    pub event: String,
    /// The version of the event's schema.
    pub schema_version: u32,
    /// Tells of an event that is no longer declared whether history holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_history: Option<bool>,
    /// The places where the schema allows less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<Vec<String>>,
    /// The stream with the first event in history that does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The version of that event in its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Lines for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub example: Vec<String>,
}

/// A change of a command's declaration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandChange {
    /// The name of the command.
    pub command: String,
    /// The places where the schema accepts less; absent if the command is no longer declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<Vec<String>>,
}

/// A module or a consumer on the other side of events of the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DependentFinding {
    /// `decider`, `process`, `view` or `consumer`.
    pub kind: String,
    /// The name of the module or of the consumer.
    pub name: String,
    /// The relation of the two.
    pub relation: DependentRelation,
    /// The number of the events that it is about, each schema version counted.
    pub events_total: u64,
    /// The first of these events; none where they are too many to be shown.
    pub events: Vec<DependentEvent>,
}

/// The relation of a candidate and a dependent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependentRelation {
    /// The dependent reads an event that the candidate writes, and cannot fold this version of it.
    CannotFold,
    /// The candidate reads an event that the decider writes, and cannot fold this version of it.
    CandidateCannotFold,
    /// The candidate no longer declares what the dependent reads.
    NoLongerWritten,
    /// The candidate reads what the decider does not write yet.
    NotWritten,
}

impl DependentRelation {
    /// Tells whether it blocks the candidate. Readers go first: what nobody writes blocks none.
    pub(super) fn blocks(self) -> bool {
        match self {
            Self::CannotFold | Self::CandidateCannotFold => true,
            Self::NoLongerWritten | Self::NotWritten => false,
        }
    }
}

/// An event between a candidate and a dependent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DependentEvent {
    /// The name of the event.
    pub event: String,
    /// The version of the event's schema; absent for a consumer, which reads all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<u32>,
}

/// A specification that does not hold, or was not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpecFinding {
    /// The specification's title.
    pub title: String,
    /// The expected outcome, or the beginning of its text; absent where it is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// The actual outcome, or the beginning of its text; absent where it is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<Value>,
    /// Lines for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub example: Vec<String>,
}

/// A finding about streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StreamsFinding {
    /// The number of streams.
    pub streams: u64,
    /// Lines for people about the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub example: Vec<String>,
}

/// A finding about commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandsFinding {
    /// The number of commands.
    pub commands: u64,
    /// Lines for people about the first of them.
    #[serde(default)]
    pub example: Vec<String>,
}

/// A finding about doing the same twice, by the kind of the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum DeterminismFinding {
    /// The commands of a decider.
    Commands(CommandsFinding),
    /// The rows of a view.
    Rows(RowsFinding),
}

/// A finding about rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RowsFinding {
    /// The number of rows.
    pub rows: u64,
    /// The number of events whose keys cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// Lines for people about the first of them.
    #[serde(default)]
    pub example: Vec<String>,
}

/// A finding about the columns of a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ColumnsFinding {
    /// The columns that cannot keep their place or type.
    pub columns: Vec<String>,
    /// The views of others that depend on the view's name in SQL.
    pub dependents: Vec<String>,
}

/// A finding about the fuel of commands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostFinding {
    /// Lines for people, one for each name of a command.
    pub example: Vec<String>,
}

impl Finding {
    pub(super) fn new(details: FindingDetails, summary: String, blocks: bool) -> Self {
        Self {
            name: details.name(),
            step: details.step(),
            summary,
            details,
            blocks,
            accepted: false,
        }
    }
}

impl Finding {
    /// Tells whether nobody can accept the finding: the module cannot fold what there is, or views
    /// of others keep its table from being shown.
    pub(super) fn is_fatal(&self) -> bool {
        match &self.details {
            FindingDetails::Refold(_) => true,
            FindingDetails::Columns(found) => !found.dependents.is_empty(),
            _ => false,
        }
    }

    /// Tells whether a person who accepts findings of a name accepts this one.
    pub(super) fn is_named_by(&self, accepted: &str) -> bool {
        match (&self.details, accepted_rows(accepted)) {
            (FindingDetails::Rows(found), Ok(Some(most))) => found.rows <= most,
            _ => self.name == accepted,
        }
    }
}

/// Reads the number in a name like `rows:412`, which accepts the finding `rows` about so many rows
/// at most; none in any other name.
///
/// # Errors
///
/// The reason for which it is no number.
pub fn accepted_rows(name: &str) -> Result<Option<u64>, ParseIntError> {
    let rows = name.strip_prefix("rows:");
    rows.map(str::parse).transpose()
}

impl FindingDetails {
    fn name(&self) -> String {
        match self {
            Self::Specs(spec) => format!("{}:{}", self.kind(), spec.title),
            Self::Dependents(of) => format!("{}:{}/{}", self.kind(), of.kind, of.name),
            _ => self.kind().to_owned(),
        }
    }
}

impl TryFrom<StoredFinding> for Finding {
    type Error = serde_json::Error;

    fn try_from(stored: StoredFinding) -> Result<Self, Self::Error> {
        let kind = stored.name.split(':').next().unwrap_or_default();
        let details = FindingDetails::read(kind, stored.details)?;
        Ok(Self {
            accepted: stored.accepted,
            ..Self::new(details, stored.summary, stored.blocks)
        })
    }
}
