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
