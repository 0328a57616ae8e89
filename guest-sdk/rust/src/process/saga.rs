//! Sagas: processes that keep nothing, and answer each event with commands.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use super::input::News;
use super::instance::{Folded, Step, StoredInstance, check_ids};
use super::rules::Rules;
use super::task::{Order, Task};
use crate::log::{FoldError, Foreign, Key, Recorded};
use crate::schema::SchemaWriter;

/// A process without a state: each event is an instance of its own, whose key is the event's id,
/// and what is to be done follows from that event alone.
///
/// ```
/// use gavel::{Order, Recorded, Saga};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, gavel::Foreign)]
/// #[foreign(decider = "restaurant")]
/// pub enum RestaurantEvent {
///     OrderPlaced { order_identifier: String },
/// }
///
/// #[derive(Serialize, gavel::Target)]
/// #[target(decider = "order")]
/// pub enum OrderCommand {
///     CreateOrder { identifier: String },
/// }
///
/// pub struct Kitchen;
///
/// #[gavel::process(name = "kitchen", sends(OrderCommand))]
/// impl Saga for Kitchen {
///     type Event = RestaurantEvent;
///     fn react(event: &Recorded<RestaurantEvent>) -> Vec<Order> {
///         let RestaurantEvent::OrderPlaced { order_identifier } = &event.event;
///         let identifier = order_identifier.clone();
///         vec![Order::new(order_identifier, &OrderCommand::CreateOrder { identifier })]
///     }
/// }
/// ```
///
/// A saga does not learn what becomes of its commands: where that matters, write a
/// [`Process`](crate::Process).
pub trait Saga: 'static {
    /// The events that the saga reads: see the derive macro [`Foreign`](macro@crate::Foreign).
    type Event: Foreign;

    /// The commands with which the saga answers the event, in the order in which they are to be
    /// sent. The function MUST be pure.
    ///
    /// Each is a task with the name of its command as id; of two with the same name the second is
    /// `…-2`, and so on.
    fn react(event: &Recorded<Self::Event>) -> Vec<Order>;
}

/// The rules of a [`Saga`].
#[derive(Debug)]
pub struct Stateless<S>(PhantomData<S>);

impl<S: Saga> Rules for Stateless<S> {
    type Event = S::Event;

    const STATE: Option<fn(&mut SchemaWriter)> = None;

    fn keys(event: &Recorded<S::Event>) -> Vec<String> {
        Key::EventId.of(event).unwrap_or_default()
    }

    /// An input that is no event changes nothing: no state says what was listed before.
    fn fold(instance: StoredInstance) -> Result<Folded, FoldError> {
        let mut steps = Vec::new();
        for (index, input) in (0..).zip(instance.inputs) {
            let fault = |message| FoldError { index, message };
            let input = input.read().map_err(fault)?;
            let added = match &input.what {
                News::Event(event) => tasks(S::react(event)),
                News::Due { .. }
                | News::Rejected { .. }
                | News::Accepted { .. }
                | News::Abandoned { .. } => Vec::new(),
            };
            check_ids(&added).map_err(fault)?;
            steps.push(Step {
                added,
                gone: Vec::new(),
            });
        }
        Ok(Folded { state: None, steps })
    }

    /// Nothing: a saga has no states.
    fn todo(_: &str, _: &str) -> Result<Vec<Task>, String> {
        Ok(Vec::new())
    }
}

/// One task for each order.
fn tasks(orders: Vec<Order>) -> Vec<Task> {
    let mut counts = BTreeMap::new();
    let task = |order: Order| {
        let count = counts.entry(order.command).or_insert(0_u32);
        *count += 1;
        match *count {
            1 => Task::send(order.command, order),
            count => Task::send(format!("{}-{count}", order.command), order),
        }
    };
    orders.into_iter().map(task).collect()
}
