use gavel::given;
use price::{Article, Command, Event, Rejection};

#[test]
fn a_price_is_set_once() {
    given::<Article>([Event::PriceSet { cents: 300 }])
        .when(Command::SetPrice { cents: 300 })
        .then_nothing();
}

#[test]
fn nothing_is_free() {
    given::<Article>([])
        .when(Command::SetPrice { cents: 0 })
        .then_rejected(Rejection::PriceIsZero);
}
