use counter::{Command, Counter, Event, Rejection};
use gavel::given;

#[test]
fn an_increment_counts_up() {
    given::<Counter>([Event::Incremented {}])
        .when(Command::Increment {})
        .then([Event::Incremented {}]);
}

#[test]
fn a_counter_at_zero_cannot_be_decremented() {
    given::<Counter>([])
        .when(Command::Decrement {})
        .then_rejected(Rejection::AtZero);
}

#[test]
fn a_reset_of_a_counter_at_zero_records_nothing() {
    given::<Counter>([Event::Incremented {}, Event::WasReset {}])
        .when(Command::Reset {})
        .then_nothing();
}
