//! A workflow as a process: how far it is, and what is to be done there.

use serde::{Deserialize, Serialize};

use super::steps::{StepAction, Workflow, WorkflowStep};
use crate::log::{Recorded, Timestamp};
use crate::process::input::{Input, News};
use crate::process::rules::Process;
use crate::process::task::Task;
use crate::schema::{Field, JsonSchema, SchemaWriter};

/// An instance of the workflow `W`, as a [`Process`]: in tests it learns of inputs, and lists what
/// is to be done.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound = "W: Workflow")]
pub struct Flow<W> {
    facts: W,
    /// The names of the steps that are done and not undone, in order.
    done: Vec<String>,
    /// The time at which the present step began.
    since: Timestamp,
    /// The number of times that the present step was rejected and is tried again.
    attempts: u32,
    /// The time at which it is tried again, until then.
    again_at: Option<Timestamp>,
    is_undoing: bool,
}

impl<W: Workflow> Process for Flow<W> {
    type Event = W::Event;

    fn keys(event: &Recorded<W::Event>) -> Vec<String> {
        W::keys(event)
    }

    fn evolve(&mut self, input: &Input<W::Event>) {
        let before = self.present();
        let is_underway = before.as_ref().is_some_and(|step| self.is_underway(step));
        match &input.what {
            News::Event(event) => self.facts.evolve(event),
            outcome if self.is_undoing => self.learn_of_undo(outcome),
            outcome => {
                if let Some(step) = &before {
                    self.learn(step, outcome, input.at);
                }
            }
        }
        self.pass_what_is_there();
        let after = self.present();
        let is_same = name_of(&before) == name_of(&after);
        if !is_same {
            self.since = input.at;
            self.attempts = 0;
            self.again_at = None;
        }
        let is_underway = is_underway && is_same && self.again_at.is_none();
        if self.facts.is_cancelled() && !is_underway {
            self.is_undoing = true;
        }
        let is_over = if self.is_undoing {
            self.next_undo().is_none()
        } else {
            after.is_none() && !self.done.is_empty()
        };
        if is_over {
            *self = Self::default();
        }
    }

    fn todo(&self, _: &str) -> Vec<Task> {
        let task = if self.is_undoing {
            self.next_undo().and_then(|step| {
                let order = step.undo?;
                Some(Task::send(undo_id(&step.name), order))
            })
        } else {
            self.present().and_then(|step| self.task(step))
        };
        task.into_iter().collect()
    }
}

impl<W: Workflow> Flow<W> {
    /// The first step that is not done.
    fn present(&self) -> Option<WorkflowStep> {
        let mut steps = self.facts.steps().into_iter();
        steps.find(|step| !self.done.contains(&step.name))
    }

    /// The last step that is done and can be undone.
    fn next_undo(&self) -> Option<WorkflowStep> {
        let steps = self.facts.steps();
        let undoable = |name: &String| {
            let is_it = |step: &&WorkflowStep| step.name == *name && step.undo.is_some();
            steps.iter().find(is_it).cloned()
        };
        self.done.iter().rev().find_map(undoable)
    }

    /// Tells whether a command of the present step may be on its way.
    fn is_underway(&self, step: &WorkflowStep) -> bool {
        let is_send = matches!(step.action, StepAction::Send { .. });
        is_send && self.again_at.is_none() && !self.is_undoing
    }

    fn task(&self, step: WorkflowStep) -> Option<Task> {
        let id = self.id(&step.name);
        match (step.action, self.again_at) {
            (StepAction::Send { .. }, Some(time)) => {
                Some(Task::wait_until(format!("{id}-wait"), time))
            }
            (StepAction::Send { order, .. }, None) => Some(Task::send(id, order)),
            (StepAction::Wait(duration), _) => Some(Task::wait_until(id, self.since + duration)),
            (StepAction::Until { at_most, .. }, _) => {
                at_most.map(|duration| Task::wait_until(id, self.since + duration))
            }
        }
    }

    /// The id of the task of the present step, another one each time that it is tried.
    fn id(&self, name: &str) -> String {
        match self.attempts {
            0 => name.to_owned(),
            attempts => format!("{name}-{}", attempts.saturating_add(1)),
        }
    }

    fn learn(&mut self, step: &WorkflowStep, outcome: &News<W::Event>, at: Timestamp) {
        match (&step.action, outcome) {
            (_, News::Event(_)) => {}
            (StepAction::Send { .. }, News::Due { .. }) => self.again_at = None,
            (StepAction::Wait(_), News::Due { .. }) => self.done.push(step.name.clone()),
            (StepAction::Until { .. }, News::Due { .. }) => self.is_undoing = true,
            (
                _,
                News::Accepted { task } | News::Rejected { task, .. } | News::Abandoned { task },
            ) if *task != self.id(&step.name) => {}
            (_, News::Accepted { .. }) => self.done.push(step.name.clone()),
            (StepAction::Send { retries, delay, .. }, News::Rejected { .. })
                if self.attempts < *retries =>
            {
                let times = 2_u32.saturating_pow(self.attempts);
                self.again_at = Some(at + delay.saturating_mul(times));
                self.attempts += 1;
            }
            (_, News::Rejected { .. } | News::Abandoned { .. }) => self.is_undoing = true,
        }
    }

    /// Goes on with the step before, whatever became of the command that undoes this one.
    fn learn_of_undo(&mut self, outcome: &News<W::Event>) {
        let (News::Accepted { task } | News::Rejected { task, .. } | News::Abandoned { task }) =
            outcome
        else {
            return;
        };
        if let Some(step) = self.next_undo().filter(|step| *task == undo_id(&step.name)) {
            self.done.retain(|name| *name != step.name);
        }
    }

    /// Ends the steps whose facts are there.
    fn pass_what_is_there(&mut self) {
        while let Some(step) = self.present().filter(|_| !self.is_undoing)
            && let StepAction::Until { is_there: true, .. } = step.action
        {
            self.done.push(step.name);
        }
    }
}

fn name_of(step: &Option<WorkflowStep>) -> Option<&str> {
    step.as_ref().map(|step| step.name.as_str())
}

fn undo_id(name: &str) -> String {
    format!("undo-{name}")
}

impl<W: Workflow> JsonSchema for Flow<W> {
    fn schema(schema: &mut SchemaWriter) {
        let field = |name, schema, required| Field {
            name,
            description: "",
            required,
            schema,
        };
        schema.object(
            "",
            &[
                field("facts", W::schema, true),
                field("done", Vec::<String>::schema, true),
                field("since", Timestamp::schema, true),
                field("attempts", u32::schema, true),
                field("again_at", Option::<Timestamp>::schema, false),
                field("is_undoing", bool::schema, true),
            ],
        );
    }
}
