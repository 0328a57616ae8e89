use account::{Account, Command, Event, Rejection};
use gavel::given;

fn opened() -> Event {
    Event::Opened {
        owner: "ann".into(),
    }
}

#[test]
fn a_withdrawal_over_the_balance_is_rejected() {
    given::<Account>([opened(), Event::Deposited { amount: 3 }])
        .when(Command::Withdraw { amount: 4 })
        .then_rejected(Rejection::InsufficientFunds {
            balance: 3,
            amount: 4,
        });
}

#[test]
fn a_balance_that_would_overflow_is_rejected() {
    given::<Account>([opened(), Event::Deposited { amount: u64::MAX }])
        .when(Command::Deposit { amount: 1 })
        .then_rejected(Rejection::BalanceTooLarge {
            balance: u64::MAX,
            amount: 1,
        });
}

#[test]
fn an_empty_account_can_be_closed() {
    given::<Account>([opened()])
        .when(Command::Close)
        .then([Event::Closed]);
}
