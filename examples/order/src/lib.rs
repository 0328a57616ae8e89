//! An order in the kitchen: created once, prepared once, and then over.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    /// Hands the order to the kitchen.
    CreateOrder {
        identifier: String,
        restaurant_identifier: String,
        line_items: Vec<OrderLineItem>,
    },
    /// Says that the food is ready.
    MarkOrderAsPrepared { identifier: String },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    #[event(tags(order_id = identifier, restaurant_id = restaurant_identifier))]
    OrderCreated {
        identifier: String,
        restaurant_identifier: String,
        status: OrderStatus,
        line_items: Vec<OrderLineItem>,
    },
    #[event(final, tags(order_id = identifier))]
    OrderPrepared {
        identifier: String,
        status: OrderStatus,
    },
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "an identifier has {bytes} bytes, of at most 200")]
    IdentifierTooLong { bytes: usize },
    #[rejection(message = "the order exists already")]
    OrderNotCreated,
    #[rejection(message = "the order is not waiting to be prepared")]
    OrderNotPrepared,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum OrderStatus {
    Created,
    Prepared,
    Cancelled,
    Rejected,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OrderLineItem {
    pub id: String,
    pub quantity: u32,
    pub menu_item_id: String,
    pub name: String,
}

/// The longest identifier, in bytes (inclusive): events are found by them, and a label has bounds.
const IDENTIFIER_BYTES: usize = 200;

/// An order, or none before it is created.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct MaybeOrder(Option<Order>);

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Order {
    identifier: String,
    restaurant_identifier: String,
    status: OrderStatus,
    line_items: Vec<OrderLineItem>,
}

#[gavel::decider(name = "order", specs = "order.specs.yaml")]
impl Decider for MaybeOrder {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
        let bytes = command.identifier_bytes();
        if bytes > IDENTIFIER_BYTES {
            return Err(Rejection::IdentifierTooLong { bytes });
        }
        match (command, &self.0) {
            (
                Command::CreateOrder {
                    identifier,
                    restaurant_identifier,
                    line_items,
                },
                None,
            ) => {
                let status = OrderStatus::Created;
                Ok(vec![Event::OrderCreated {
                    identifier,
                    restaurant_identifier,
                    status,
                    line_items,
                }])
            }
            (Command::CreateOrder { .. }, Some(_)) => Err(Rejection::OrderNotCreated),
            (
                Command::MarkOrderAsPrepared { identifier },
                Some(Order {
                    status: OrderStatus::Created,
                    ..
                }),
            ) => Ok(vec![Event::OrderPrepared {
                identifier,
                status: OrderStatus::Prepared,
            }]),
            (Command::MarkOrderAsPrepared { .. }, _) => Err(Rejection::OrderNotPrepared),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match (event.clone(), &mut self.0) {
            (
                Event::OrderCreated {
                    identifier,
                    restaurant_identifier,
                    status,
                    line_items,
                },
                state,
            ) => {
                *state = Some(Order {
                    identifier,
                    restaurant_identifier,
                    status,
                    line_items,
                });
            }
            (Event::OrderPrepared { status, .. }, Some(order)) => order.status = status,
            (Event::OrderPrepared { .. }, None) => {}
        }
    }
}

impl Command {
    /// The length of the longest identifier, in bytes.
    fn identifier_bytes(&self) -> usize {
        match self {
            Command::CreateOrder {
                identifier,
                restaurant_identifier,
                ..
            } => identifier.len().max(restaurant_identifier.len()),
            Command::MarkOrderAsPrepared { identifier } => identifier.len(),
        }
    }
}
