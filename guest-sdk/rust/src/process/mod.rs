//! Processes: the traits that an author implements, what an instance learns and lists, and how the
//! steps of its inputs follow from that.

mod fold;
mod input;
mod instance;
mod rules;
mod saga;
mod stateful;
mod task;
mod workflow;

pub use fold::{fold, keys, todo};
pub use input::{Input, News, TaskRejection};
pub use instance::{Folded, Step, StoredInstance};
pub use rules::{Process, ProcessModule, Rules};
pub use saga::{Saga, Stateless};
pub use stateful::Stateful;
pub use task::{Action, Order, Target, Task};
pub use workflow::{Flow, Workflow, WorkflowStep};
