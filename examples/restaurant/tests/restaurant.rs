use gavel::given;
use restaurant::{
    Command, Cuisine, Event, MaybeRestaurant, MenuItem, OrderLineItem, Rejection, RestaurantMenu,
};

fn menu() -> RestaurantMenu {
    let pizza = MenuItem {
        id: "pizza".into(),
        name: "Pizza Margherita".into(),
        price: 900,
    };
    RestaurantMenu {
        menu_id: "m-1".into(),
        items: vec![pizza],
        cuisine: Cuisine::Italian,
    }
}

fn created() -> Event {
    Event::RestaurantCreated {
        identifier: "r-1".into(),
        name: "Da Anna".into(),
        menu: menu(),
    }
}

fn order_of(item: &str) -> Command {
    let line = OrderLineItem {
        id: "l-1".into(),
        quantity: 1,
        menu_item_id: item.into(),
        name: item.into(),
    };
    Command::PlaceOrder {
        identifier: "r-1".into(),
        order_identifier: "o-1".into(),
        line_items: vec![line],
    }
}

#[test]
fn nothing_can_be_ordered_from_a_restaurant_that_does_not_exist() {
    given::<MaybeRestaurant>([])
        .when(order_of("pizza"))
        .then_rejected(Rejection::OrderNotPlaced);
}

#[test]
fn an_identifier_that_is_too_long_to_find_an_event_by_is_refused() {
    let identifier = |bytes| "r".repeat(bytes);
    let change = |bytes| Command::ChangeRestaurantMenu {
        identifier: identifier(bytes),
        menu: menu(),
    };
    let order = |bytes| Command::PlaceOrder {
        identifier: "r-1".into(),
        order_identifier: identifier(bytes),
        line_items: vec![],
    };
    for command in [change(201), order(201)] {
        given::<MaybeRestaurant>([created()])
            .when(command)
            .then_rejected(Rejection::IdentifierTooLong { bytes: 201 });
    }
    given::<MaybeRestaurant>([created()])
        .when(change(200))
        .then([Event::RestaurantMenuChanged {
            identifier: identifier(200),
            menu: menu(),
        }]);
}

#[cfg(not(feature = "check-menu"))]
#[test]
fn the_menu_does_not_limit_what_can_be_ordered() {
    let Command::PlaceOrder {
        identifier,
        order_identifier,
        line_items,
    } = order_of("sushi")
    else {
        unreachable!()
    };
    given::<MaybeRestaurant>([created()])
        .when(order_of("sushi"))
        .then([Event::OrderPlaced {
            identifier,
            order_identifier,
            line_items,
        }]);
}

#[cfg(feature = "check-menu")]
#[test]
fn what_is_not_on_the_menu_cannot_be_ordered() {
    given::<MaybeRestaurant>([created()])
        .when(order_of("sushi"))
        .then_rejected(Rejection::MenuItemsNotAvailable {
            menu_item_ids: vec!["sushi".into()],
        });
}
