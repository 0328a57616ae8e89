//! Hands each order that a restaurant takes to the kitchen. A saga: it keeps nothing.

use gavel::{Order, Recorded, Saga};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "restaurant")]
pub enum RestaurantEvent {
    OrderPlaced {
        identifier: String,
        order_identifier: String,
        line_items: Vec<LineItem>,
    },
}

#[derive(Serialize, gavel::Target)]
#[target(decider = "order")]
pub enum OrderCommand {
    CreateOrder {
        identifier: String,
        restaurant_identifier: String,
        line_items: Vec<LineItem>,
    },
}

#[derive(Clone, Serialize, Deserialize)]
pub struct LineItem {
    pub id: String,
    pub quantity: u32,
    pub menu_item_id: String,
    pub name: String,
}

pub struct Kitchen;

#[gavel::process(name = "kitchen", sends(OrderCommand))]
impl Saga for Kitchen {
    type Event = RestaurantEvent;

    fn react(event: &Recorded<RestaurantEvent>) -> Vec<Order> {
        let RestaurantEvent::OrderPlaced {
            identifier,
            order_identifier,
            line_items,
        } = &event.event;
        let create = OrderCommand::CreateOrder {
            identifier: order_identifier.clone(),
            restaurant_identifier: identifier.clone(),
            line_items: line_items.clone(),
        };
        vec![Order::new(order_identifier, &create)]
    }
}
