use account::{Account, Command, Event, Rejection};
use gavel::given;

fn opened() -> Event {
    Event::Opened {
        owner: "ann".into(),
    }
}

#[cfg(not(feature = "overdraft"))]
#[test]
fn a_withdrawal_over_the_balance_is_rejected() {
    given::<Account>([opened(), Event::Deposited { amount: 3 }])
        .when(Command::Withdraw { amount: 4 })
        .then_rejected(Rejection::InsufficientFunds {
            balance: 3,
            amount: 4,
        });
}

#[cfg(feature = "overdraft")]
#[test]
fn a_withdrawal_over_the_balance_leaves_a_debt() {
    given::<Account>([opened(), Event::Deposited { amount: 3 }])
        .when(Command::Withdraw { amount: 4 })
        .then([Event::Withdrawn { amount: 4 }]);
}

#[test]
fn a_balance_that_would_overflow_is_rejected() {
    let amount = i64::MAX.unsigned_abs();
    given::<Account>([opened(), Event::Deposited { amount }])
        .when(Command::Deposit { amount: 1 })
        .then_rejected(Rejection::BalanceTooLarge {
            balance: i64::MAX,
            amount: 1,
        });
}

#[test]
fn an_empty_account_can_be_closed() {
    given::<Account>([opened()])
        .when(Command::Close)
        .then([Event::Closed]);
}

#[test]
fn a_name_that_is_too_long_to_find_the_account_by_is_refused() {
    let open = |bytes| Command::Open {
        owner: "x".repeat(bytes),
    };
    given::<Account>([])
        .when(open(201))
        .then_rejected(Rejection::OwnerTooLong { bytes: 201 });
    given::<Account>([]).when(open(200)).then([Event::Opened {
        owner: "x".repeat(200),
    }]);
}
