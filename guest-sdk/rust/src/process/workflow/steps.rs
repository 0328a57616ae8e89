//! The trait that an author of a workflow implements, and its steps.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::log::{Foreign, Recorded};
use crate::process::task::Order;
use crate::schema::JsonSchema;

/// A process that goes through named steps one after the other; the implementing type holds the
/// facts that the steps are made of.
///
/// A step ends when its command is accepted, its wait is over, or what it waits for is there. When
/// one fails, those that were done are undone in reverse order, as far as they say by what. At
/// either end the facts are forgotten, and the next event with the key begins anew.
///
/// ```
/// use std::time::Duration;
///
/// use gavel::{JsonSchema, Order, Recorded, Workflow, WorkflowStep};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, gavel::Foreign)]
/// #[foreign(decider = "trip")]
/// pub enum TripEvent { TripBooked { seats: u32 }, TripPaid {}, TripCancelled {} }
///
/// #[derive(Serialize, gavel::Target)]
/// #[target(decider = "train")]
/// pub enum TrainCommand { Reserve { seats: u32 }, Release {}, Confirm {} }
///
/// #[derive(Default, Serialize, Deserialize, JsonSchema)]
/// pub struct Trip { id: String, seats: u32, is_paid: bool, is_cancelled: bool }
///
/// #[gavel::process(name = "trips", key = stream_id, sends(TrainCommand))]
/// impl Workflow for Trip {
///     type Event = TripEvent;
///     fn evolve(&mut self, event: &Recorded<TripEvent>) {
///         match event.event {
///             TripEvent::TripBooked { seats } => {
///                 self.id.clone_from(&event.stream_id);
///                 self.seats = seats;
///             }
///             TripEvent::TripPaid {} => self.is_paid = true,
///             TripEvent::TripCancelled {} => self.is_cancelled = true,
///         }
///     }
///     fn steps(&self) -> Vec<WorkflowStep> {
///         if self.id.is_empty() {
///             return vec![];
///         }
///         let order = |command| Order::new(&self.id, &command);
///         vec![
///             WorkflowStep::send("reserve", order(TrainCommand::Reserve { seats: self.seats }))
///                 .retried(3, Duration::from_secs(60))
///                 .undone_by(order(TrainCommand::Release {})),
///             WorkflowStep::until("paid", self.is_paid).at_most(Duration::from_secs(1800)),
///             WorkflowStep::send("confirm", order(TrainCommand::Confirm {})),
///         ]
///     }
///     fn is_cancelled(&self) -> bool {
///         self.is_cancelled
///     }
/// }
/// ```
pub trait Workflow: Default + Serialize + DeserializeOwned + JsonSchema + 'static {
    /// The events that the workflow reads: see the derive macro [`Foreign`](macro@crate::Foreign).
    type Event: Foreign;

    /// The keys of the instances that learn of the event, as those of a
    /// [`Process`](crate::Process).
    fn keys(event: &Recorded<Self::Event>) -> Vec<String>;

    /// Folds one event into these facts.
    ///
    /// It MUST accept every event that the type can express, in any order: a fact cannot be
    /// refused.
    fn evolve(&mut self, event: &Recorded<Self::Event>);

    /// All steps in their order, those that are done as well, each with a name of its own; none as
    /// long as there is nothing to do.
    fn steps(&self) -> Vec<WorkflowStep>;

    /// Tells whether the steps that are done are to be undone. A command that is on its way is
    /// waited for first, and what it did is undone as well.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowStep {
    pub(super) name: String,
    pub(super) action: StepAction,
    pub(super) undo: Option<Order>,
}

/// The kinds of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepAction {
    Send {
        order: Order,
        retries: u32,
        delay: Duration,
    },
    Wait(Duration),
    Until {
        is_there: bool,
        at_most: Option<Duration>,
    },
}

impl WorkflowStep {
    /// A command, which is to be accepted. The step fails if it is rejected.
    pub fn send(name: impl Into<String>, order: Order) -> Self {
        let action = StepAction::Send {
            order,
            retries: 0,
            delay: Duration::ZERO,
        };
        Self::new(name, action)
    }

    /// A time that passes, from the end of the step before.
    pub fn wait(name: impl Into<String>, duration: Duration) -> Self {
        Self::new(name, StepAction::Wait(duration))
    }

    /// Something that events tell of: the step is done once `is_there`.
    pub fn until(name: impl Into<String>, is_there: bool) -> Self {
        let action = StepAction::Until {
            is_there,
            at_most: None,
        };
        Self::new(name, action)
    }

    fn new(name: impl Into<String>, action: StepAction) -> Self {
        Self {
            name: name.into(),
            action,
            undo: None,
        }
    }

    /// The same step, whose command is sent up to `times` more when it is rejected, under another
    /// id each time: first after `delay`, then after twice that, and so on. It changes a step that
    /// sends.
    #[must_use]
    pub fn retried(mut self, times: u32, first: Duration) -> Self {
        if let StepAction::Send { retries, delay, .. } = &mut self.action {
            (*retries, *delay) = (times, first);
        }
        self
    }

    /// The same step, which fails after this time. It changes a step that waits for something.
    #[must_use]
    pub fn at_most(mut self, duration: Duration) -> Self {
        if let StepAction::Until { at_most, .. } = &mut self.action {
            *at_most = Some(duration);
        }
        self
    }

    /// The same step, which is undone by a command if a later one fails. Whether that command is
    /// accepted or not, the steps before are undone next.
    #[must_use]
    pub fn undone_by(mut self, order: Order) -> Self {
        self.undo = Some(order);
        self
    }
}
