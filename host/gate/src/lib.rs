//! The activation gate: the checks between a stored module and live commands.
//!
//! The steps run in order, each in a file of its own, and write into one [`Report`]. Those that
//! look at history read it through `past/`, on threads that give way to live commands.
//! **Invariant:** a refusal changes nothing; the module that was active keeps deciding.
//!
//! ```text
//! kinds/          the entry points, by the kind of the candidate
//! activate.rs     moves the pointers of a set if all reports pass
//! rehearsals.rs   the same in the background, without the pointer
//!   |
//! examine.rs      the steps in order      -->  report.rs   the findings, and which of them block
//! catch_up.rs     what was stored since        (by policy.rs and `accept`); what they are made
//!                                              of is in finding.rs, facts.rs and result.rs
//!   |
//! describe.rs, dependents.rs, specs.rs, refold.rs, redecide.rs, determinism.rs, cost.rs
//!   |
//! subject.rs      a candidate, next to what it would replace
//! views/          the steps and the swap of views
//! past/           streams, and what was decided on them  -->  folder.rs   a module that folds them
//!   |
//! gate.rs         what all of them work with
//! ```

mod activate;
mod catch_up;
mod compare;
mod cost;
mod deactivate;
mod dependents;
mod describe;
mod determinism;
mod error;
mod examine;
mod facts;
mod finding;
mod folder;
mod forget;
mod gate;
mod kinds;
mod look;
pub mod metrics;
mod moved;
mod past;
mod pointing;
mod policy;
mod promised;
mod redecide;
mod redecided;
mod refold;
mod refolded;
mod rehearsal;
mod rehearsals;
mod report;
mod result;
mod rollback;
mod sample;
mod schema;
mod shadow;
mod shown;
mod silence;
mod slots;
mod specs;
mod starts;
mod step;
mod subject;
mod swap;
mod verify;
mod views;
mod watch;
mod why;
mod words;

pub use activate::{ActivationRequest, MOST_MODULES, check_together};
pub use error::Error;
pub use facts::StepFacts;
pub use finding::{Finding, FindingDetails, accepted_rows};
pub use folder::Again;
pub use gate::Gate;
pub use kinds::run_specs;
pub use policy::{GateSettings, Mode, Policy};
pub use promised::SpecFailure;
pub use rehearsal::{Progress, Rehearsal, RehearsalRequest, Rehearsed, Status, ThenActivate};
pub use rehearsals::Rehearsals;
pub use report::{CaughtUp, NewEventType, Report, RollbackSafety, StepOutcome, StepReport};
pub use specs::SpecRun;
pub use step::Step;
pub use verify::{Difference, Verification, Verified, VerifyRequest};
pub use views::{
    Built, ChangedPointer, ColumnSum, RowCost, RowDifferences, RowExample, RowRepetition,
};
pub use watch::Watch;
pub use why::Why;

use result::StepResult;
