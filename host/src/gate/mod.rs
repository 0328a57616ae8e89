//! The activation gate: what stands between a stored module and live commands.
//!
//! Its steps run in order, each in a file of its own, and write into one [`Report`]. **Invariant:** a refusal changes nothing; the module
//! that was active goes on.

mod activate;
mod describe;
mod error;
mod report;
mod specs;

pub use activate::{ActivationRequest, Gate};
pub use error::Error;
pub use report::{Finding, Report, Step, StepOutcome};
pub use specs::{SpecFailure, run_spec, run_specs};
