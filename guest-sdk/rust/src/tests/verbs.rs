//! Given, when, then: what passes, and how a failure reads.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::parcel::{Address, Command, Event, Parcel, Rejection};
use crate::{Context, given, given_state};

fn sent() -> Event {
    Event::ParcelSent {
        town: "Ulm".into(),
        country: "DE".into(),
    }
}

/// The message of a failing test.
fn failure(test: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(test)).expect_err("the test fails");
    payload.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn expectations_that_hold_can_be_chained() {
    let to = Address {
        town: "Ulm".into(),
        country: "DE".into(),
    };
    given::<Parcel>([])
        .when(Command::Send { to })
        .then([sent()])
        .then_state_where(|parcel| parcel.town.as_deref() == Some("Ulm"))
        .then_state(Parcel {
            town: Some("Ulm".into()),
            ..Parcel::default()
        });
    given::<Parcel>([sent()]).when(Command::Wait).then_nothing();
    given::<Parcel>([])
        .when(Command::Deliver)
        .then_rejected(Rejection::NotSent);
    given_state(Parcel {
        town: Some("Ulm".into()),
        ..Parcel::default()
    })
    .when_with(
        Command::Toss,
        Context {
            seed: 7,
            now_ms: 3,
            ..Context::default()
        },
    )
    .then([Event::Tossed {
        number: 2,
        at_ms: 3,
        by: None,
    }]);
}

#[test]
fn other_events_are_shown_beside_the_expected_ones() {
    let message = failure(|| {
        drop(
            given::<Parcel>([sent()])
                .when(Command::Weigh(5))
                .then([Event::Weighed(6)]),
        )
    });
    assert_eq!(
        message,
        "the outcome differs\nexpected: \n    Weighed(6)\n  actual: \n    Weighed(5)\n"
    );
}

#[test]
fn a_rejection_in_the_place_of_events_is_shown_with_its_reason() {
    let message = failure(|| {
        drop(
            given::<Parcel>([sent()])
                .when(Command::Weigh(1001))
                .then_nothing(),
        )
    });
    assert_eq!(
        message,
        "the outcome differs\nexpected: no events\n  actual: rejected with heavy {\"weight\":1001,\"limit\":1000} \
         (1001 g are over 1000 g)\n"
    );
}

#[test]
fn events_in_the_place_of_a_rejection_are_shown() {
    let message = failure(|| {
        drop(
            given::<Parcel>([sent()])
                .when(Command::Weigh(5))
                .then_rejected(Rejection::NotSent),
        )
    });
    assert_eq!(
        message,
        "the outcome differs\nexpected: rejected with not-sent (not sent)\n  actual: \n    Weighed(5)\n"
    );
}

#[test]
fn another_state_is_shown_beside_the_expected_one() {
    let expected = Parcel {
        weight: 6,
        ..Parcel::default()
    };
    let message = failure(|| {
        drop(
            given::<Parcel>([Event::Weighed(5)])
                .when(Command::Wait)
                .then_state(expected),
        )
    });
    assert_eq!(
        message,
        "the outcome differs\nexpected: state {\"labels\":{},\"town\":null,\"weight\":6}\n  \
         actual: state {\"labels\":{},\"town\":null,\"weight\":5}\n"
    );
}

#[test]
fn nothing_can_follow_a_final_event() {
    let message = failure(|| drop(given::<Parcel>([sent(), Event::Delivered, sent()])));
    assert_eq!(message, "parcel_sent cannot follow arrived, which is final");
}
