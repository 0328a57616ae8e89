//! The board over the counter: the open orders of all restaurants, from when a guest places one
//! until it is prepared. A view over two deciders.

use std::collections::BTreeMap;

use gavel::{JsonSchema, QueryItem, Recorded, Row, Timestamp, View};
use serde::{Deserialize, Serialize};

#[derive(gavel::Foreign)]
pub enum BoardEvent {
    Restaurant(RestaurantEvent),
    Order(OrderEvent),
}

/// The event of a restaurant by which an order begins.
#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "restaurant")]
pub enum RestaurantEvent {
    OrderPlaced {
        identifier: String,
        order_identifier: String,
        line_items: Vec<LineItem>,
    },
}

/// The events of an order in the kitchen.
#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "order")]
pub enum OrderEvent {
    OrderCreated {
        identifier: String,
        restaurant_identifier: String,
        line_items: Vec<LineItem>,
    },
    OrderPrepared {
        identifier: String,
    },
}

#[derive(Deserialize)]
pub struct LineItem {
    pub name: String,
    pub quantity: u32,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct OpenOrder {
    #[index(since)]
    pub restaurant: String,
    #[index(since)]
    pub stage: Stage,
    /// The time at which the order came to this stage.
    pub since: Timestamp,
    pub portions: u64,
    /// The portions of each dish.
    pub dishes: BTreeMap<String, u32>,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub enum Stage {
    /// The kitchen does not know of the order yet.
    #[default]
    Placed,
    InTheKitchen,
}

#[gavel::view(name = "restaurant-board", specs = "restaurant-board.specs.yaml")]
impl View for OpenOrder {
    type Event = BoardEvent;

    fn keys(event: &Recorded<BoardEvent>) -> Vec<String> {
        let order = match &event.event {
            BoardEvent::Restaurant(RestaurantEvent::OrderPlaced {
                order_identifier, ..
            }) => order_identifier,
            BoardEvent::Order(
                OrderEvent::OrderCreated { identifier, .. }
                | OrderEvent::OrderPrepared { identifier },
            ) => identifier,
        };
        vec![order.clone()]
    }

    /// Both deciders label these events with the order that they are about.
    fn sources(key: &str) -> Vec<QueryItem> {
        vec![QueryItem::of_tag::<BoardEvent>(&format!("order_id:{key}"))]
    }

    fn evolve(&mut self, event: &Recorded<BoardEvent>) -> Row {
        match &event.event {
            BoardEvent::Restaurant(RestaurantEvent::OrderPlaced {
                identifier,
                line_items,
                ..
            }) => self.show(identifier, line_items),
            BoardEvent::Order(OrderEvent::OrderCreated {
                restaurant_identifier,
                line_items,
                ..
            }) => {
                self.show(restaurant_identifier, line_items);
                self.stage = Stage::InTheKitchen;
            }
            BoardEvent::Order(OrderEvent::OrderPrepared { .. }) => return Row::End,
        }
        self.since = event.created_at();
        Row::Keep
    }
}

impl OpenOrder {
    fn show(&mut self, restaurant: &str, line_items: &[LineItem]) {
        self.restaurant = restaurant.to_owned();
        self.portions = line_items.iter().map(|line| u64::from(line.quantity)).sum();
        self.dishes.clear();
        for LineItem { name, quantity } in line_items {
            let portions = self.dishes.entry(name.clone()).or_default();
            *portions = portions.saturating_add(*quantity);
        }
    }
}
