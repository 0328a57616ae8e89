use gavel::given;
use transfer::{Command, Event, Transfer};

#[test]
fn a_transfer_ends_well_or_badly() {
    let requested = Event::TransferRequested {
        from: "a-1".into(),
        to: "a-2".into(),
        amount: 5,
    };
    given::<Transfer>([requested.clone()])
        .when(Command::CompleteTransfer {})
        .then([Event::TransferCompleted {}]);
    given::<Transfer>([requested])
        .when(Command::FailTransfer {})
        .then([Event::TransferFailed {}]);
}
