//! A restaurant, which opens with a menu, changes the menu, and takes orders.
//!
//! With the feature `check-menu` it takes orders only for what is on the menu: a changed rule, to
//! swap to in production.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    /// Opens the restaurant.
    CreateRestaurant {
        identifier: String,
        name: String,
        menu: RestaurantMenu,
    },
    /// Replaces the menu.
    ChangeRestaurantMenu {
        identifier: String,
        menu: RestaurantMenu,
    },
    /// Orders food.
    PlaceOrder {
        identifier: String,
        order_identifier: String,
        line_items: Vec<OrderLineItem>,
    },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    #[event(tags(restaurant_id = identifier))]
    RestaurantCreated {
        identifier: String,
        name: String,
        menu: RestaurantMenu,
    },
    #[event(tags(restaurant_id = identifier))]
    RestaurantMenuChanged {
        identifier: String,
        menu: RestaurantMenu,
    },
    #[event(tags(restaurant_id = identifier, order_id = order_identifier))]
    OrderPlaced {
        identifier: String,
        order_identifier: String,
        line_items: Vec<OrderLineItem>,
    },
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "an identifier has {bytes} bytes, of at most 200")]
    IdentifierTooLong { bytes: usize },
    #[rejection(message = "the restaurant exists already")]
    RestaurantNotCreated,
    #[rejection(message = "there is no such restaurant whose menu could change")]
    RestaurantMenuNotChanged,
    #[rejection(message = "there is no such restaurant to order from")]
    OrderNotPlaced,
    #[cfg(feature = "check-menu")]
    #[rejection(message = "some items are not on the menu")]
    MenuItemsNotAvailable { menu_item_ids: Vec<String> },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RestaurantMenu {
    pub menu_id: String,
    pub items: Vec<MenuItem>,
    pub cuisine: Cuisine,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MenuItem {
    pub id: String,
    pub name: String,
    /// The price in cents.
    pub price: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Cuisine {
    Italian,
    Indian,
    Chinese,
    Japanese,
    American,
    Mexican,
    French,
    Thai,
    Vietnamese,
    Greek,
    Korean,
    Spanish,
    Lebanese,
    Turkish,
    Ethiopian,
    Moroccan,
    Egyptian,
    Brazilian,
    Polish,
    German,
    British,
    Irish,
    Other,
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

/// A restaurant, or none before it is created.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct MaybeRestaurant(Option<Restaurant>);

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Restaurant {
    identifier: String,
    name: String,
    menu: RestaurantMenu,
}

#[cfg_attr(
    not(feature = "check-menu"),
    gavel::decider(name = "restaurant", specs = "restaurant.specs.yaml")
)]
#[cfg_attr(
    feature = "check-menu",
    gavel::decider(name = "restaurant", specs = ["restaurant.specs.yaml", "check-menu.specs.yaml"])
)]
impl Decider for MaybeRestaurant {
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
                Command::CreateRestaurant {
                    identifier,
                    name,
                    menu,
                },
                None,
            ) => Ok(vec![Event::RestaurantCreated {
                identifier,
                name,
                menu,
            }]),
            (Command::CreateRestaurant { .. }, Some(_)) => Err(Rejection::RestaurantNotCreated),
            (Command::ChangeRestaurantMenu { identifier, menu }, Some(_)) => {
                Ok(vec![Event::RestaurantMenuChanged { identifier, menu }])
            }
            (Command::ChangeRestaurantMenu { .. }, None) => {
                Err(Rejection::RestaurantMenuNotChanged)
            }
            (
                Command::PlaceOrder {
                    identifier,
                    order_identifier,
                    line_items,
                },
                Some(restaurant),
            ) => {
                restaurant.check(&line_items)?;
                Ok(vec![Event::OrderPlaced {
                    identifier,
                    order_identifier,
                    line_items,
                }])
            }
            (Command::PlaceOrder { .. }, None) => Err(Rejection::OrderNotPlaced),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match (event.clone(), &mut self.0) {
            (
                Event::RestaurantCreated {
                    identifier,
                    name,
                    menu,
                },
                state,
            ) => {
                *state = Some(Restaurant {
                    identifier,
                    name,
                    menu,
                });
            }
            (Event::RestaurantMenuChanged { menu, .. }, Some(restaurant)) => restaurant.menu = menu,
            (Event::RestaurantMenuChanged { .. }, None) | (Event::OrderPlaced { .. }, _) => {}
        }
    }
}

impl Command {
    /// The length of the longest identifier, in bytes.
    fn identifier_bytes(&self) -> usize {
        match self {
            Command::CreateRestaurant { identifier, .. }
            | Command::ChangeRestaurantMenu { identifier, .. } => identifier.len(),
            Command::PlaceOrder {
                identifier,
                order_identifier,
                ..
            } => identifier.len().max(order_identifier.len()),
        }
    }
}

impl Restaurant {
    #[cfg(not(feature = "check-menu"))]
    fn check(&self, _: &[OrderLineItem]) -> Result<(), Rejection> {
        Ok(())
    }

    #[cfg(feature = "check-menu")]
    fn check(&self, line_items: &[OrderLineItem]) -> Result<(), Rejection> {
        let is_on_menu = |line: &&OrderLineItem| {
            self.menu
                .items
                .iter()
                .any(|item| item.id == line.menu_item_id)
        };
        let missing = line_items.iter().filter(|line| !is_on_menu(line));
        let menu_item_ids: Vec<String> = missing.map(|line| line.menu_item_id.clone()).collect();
        if menu_item_ids.is_empty() {
            Ok(())
        } else {
            Err(Rejection::MenuItemsNotAvailable { menu_item_ids })
        }
    }
}
