//! Workflows: processes that go through named steps, and undo them in reverse order when one fails.

mod flow;
mod steps;

pub use flow::Flow;
pub use steps::{Workflow, WorkflowStep};
