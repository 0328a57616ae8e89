//! The orders, one row for each: how far it is, and how long it has taken to get there.

use gavel::{JsonSchema, Recorded, Row, Timestamp, View};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "order")]
pub enum OrderEvent {
    OrderCreated { restaurant_identifier: String },
    OrderPrepared {},
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct OrderRow {
    pub restaurant: String,
    #[index(created_at)]
    pub status: String,
    #[index]
    pub created_at: Timestamp,
    pub took_ms: u64,
}

#[gavel::view(name = "orders", key = stream_id, specs = "orders.specs.yaml")]
impl View for OrderRow {
    type Event = OrderEvent;
    fn evolve(&mut self, event: &Recorded<OrderEvent>) -> Row {
        match &event.event {
            OrderEvent::OrderCreated {
                restaurant_identifier,
            } => {
                self.restaurant.clone_from(restaurant_identifier);
                self.created_at = event.created_at();
                self.status = "Created".into();
            }
            OrderEvent::OrderPrepared {} => self.status = "Prepared".into(),
        }
        self.took_ms = event.created_ms.saturating_sub(self.created_at.as_ms());
        Row::Keep
    }
}
