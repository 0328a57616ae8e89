//! The activation gate: what stands between a stored module and live commands.
//!
//! Its steps run in order, each in a file of its own, and write into one [`Report`]. Those that look at history read it through `past/`, on threads
//! that give way to live commands. **Invariant:** a refusal changes nothing; the module that was active goes on.
//!
//! ```text
//! kinds/          which gate it is, by the kind of the candidate
//! activate.rs     the pointer moves, if the report says so      rehearsals.rs   the same without the pointer, in the background
//!        \                                                      /
//!         examine.rs: the steps in order, catch_up.rs: what was stored since  -->  report.rs: what was found, and what of it stands in the way (policy.rs, `accept`)
//!         |
//!         describe.rs, specs.rs, refold.rs, redecide.rs, determinism.rs, cost.rs
//!         |
//! past/: streams and what was decided on them  -->  folder.rs: a module at work on them
//! ```

mod activate;
mod catch_up;
mod compare;
mod cost;
mod deactivate;
mod describe;
mod determinism;
mod error;
mod examine;
mod folder;
mod forget;
mod kinds;
pub mod metrics;
mod moved;
mod past;
mod policy;
mod redecide;
mod redecided;
mod refold;
mod refolded;
mod rehearsal;
mod rehearsals;
mod report;
mod rollback;
mod sample;
mod schema;
mod shadow;
mod silence;
mod slots;
mod specs;
mod verify;
mod watch;
mod why;
mod words;

pub use activate::{ActivationRequest, Gate};
pub use error::Error;
pub use folder::Again;
pub use kinds::run_specs;
pub use policy::{GateSettings, Mode, Policy};
pub use rehearsal::{Progress, Rehearsal, RehearsalRequest, Rehearsed, Status};
pub use rehearsals::Rehearsals;
pub use report::{CaughtUp, Finding, Report, Step, StepOutcome, StepReport};
pub use rollback::{NewEventType, RollbackSafety};
pub use specs::{SpecFailure, SpecRun};
pub use verify::{Difference, Verification, Verified, VerifyRequest};
pub use watch::Watch;
pub use why::Why;

use report::StepResult;
