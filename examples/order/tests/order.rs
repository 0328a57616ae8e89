use gavel::given;
use order::{Command, Event, MaybeOrder, OrderStatus, Rejection};

fn created() -> Event {
    Event::OrderCreated {
        identifier: "o-1".into(),
        restaurant_identifier: "r-1".into(),
        status: OrderStatus::Created,
        line_items: vec![],
    }
}

fn prepared() -> Event {
    Event::OrderPrepared {
        identifier: "o-1".into(),
        status: OrderStatus::Prepared,
    }
}

fn prepare() -> Command {
    Command::MarkOrderAsPrepared {
        identifier: "o-1".into(),
    }
}

#[test]
fn an_order_that_was_created_can_be_prepared() {
    given::<MaybeOrder>([created()])
        .when(prepare())
        .then([prepared()]);
}

#[test]
fn an_order_is_prepared_only_once() {
    given::<MaybeOrder>([created(), prepared()])
        .when(prepare())
        .then_rejected(Rejection::OrderNotPrepared);
}

#[test]
fn an_identifier_that_is_too_long_to_find_an_event_by_is_refused() {
    let create = |bytes, restaurant_bytes| Command::CreateOrder {
        identifier: "o".repeat(bytes),
        restaurant_identifier: "r".repeat(restaurant_bytes),
        line_items: vec![],
    };
    for command in [create(201, 1), create(1, 201)] {
        given::<MaybeOrder>([])
            .when(command)
            .then_rejected(Rejection::IdentifierTooLong { bytes: 201 });
    }
    given::<MaybeOrder>([])
        .when(create(200, 200))
        .then([Event::OrderCreated {
            identifier: "o".repeat(200),
            restaurant_identifier: "r".repeat(200),
            status: OrderStatus::Created,
            line_items: vec![],
        }]);
}
