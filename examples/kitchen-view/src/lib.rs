//! The kitchens, one row for each restaurant: the orders that guests have placed and that its
//! kitchen has not begun. Events of both deciders have the label `restaurant_id`.

use std::collections::BTreeSet;

use gavel::{JsonSchema, Recorded, Row, Timestamp, View};
use serde::{Deserialize, Serialize};

#[derive(gavel::Foreign)]
pub enum KitchenEvent {
    Restaurant(RestaurantEvent),
    Order(OrderEvent),
}

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "restaurant")]
pub enum RestaurantEvent {
    RestaurantCreated { name: String },
    OrderPlaced { order_identifier: String },
}

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "order")]
pub enum OrderEvent {
    OrderCreated { identifier: String },
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Kitchen {
    pub name: Option<String>,
    /// The number of open orders.
    #[index(last_order_at)]
    pub open_orders: u64,
    pub last_order_at: Option<Timestamp>,
    /// The open orders.
    pub open: BTreeSet<String>,
    /// Orders that the kitchen began before it was told that they were placed.
    pub early: BTreeSet<String>,
}

#[gavel::view(name = "kitchen", key = tag("restaurant_id"), specs = "kitchen.specs.yaml")]
impl View for Kitchen {
    type Event = KitchenEvent;

    fn evolve(&mut self, event: &Recorded<KitchenEvent>) -> Row {
        match &event.event {
            KitchenEvent::Restaurant(RestaurantEvent::RestaurantCreated { name }) => {
                self.name = Some(name.clone());
            }
            KitchenEvent::Restaurant(RestaurantEvent::OrderPlaced { order_identifier }) => {
                if !self.early.remove(order_identifier) {
                    self.open.insert(order_identifier.clone());
                }
                self.last_order_at = Some(event.created_at());
            }
            KitchenEvent::Order(OrderEvent::OrderCreated { identifier }) => {
                if !self.open.remove(identifier) {
                    self.early.insert(identifier.clone());
                }
            }
        }
        self.open_orders = self.open.len() as u64;
        Row::Keep
    }
}
