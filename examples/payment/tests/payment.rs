use gavel::given;
use payment::{Command, Event, Payment, Rejection};

fn requested() -> Event {
    Event::PaymentRequested {
        customer: "ann".into(),
        cents: 500,
    }
}

#[test]
fn a_payment_ends_with_the_money_or_without() {
    given::<Payment>([requested()])
        .when(Command::ReceivePayment {})
        .then([Event::PaymentReceived {}]);
    given::<Payment>([requested(), Event::PaymentReminded {}])
        .when(Command::CancelPayment {})
        .then([Event::PaymentCancelled {}]);
    given::<Payment>([])
        .when(Command::CancelPayment {})
        .then_rejected(Rejection::NotAwaited);
}
