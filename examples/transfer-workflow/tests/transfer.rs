use gavel::{Action, Flow, Input, News, Process, Recorded, TaskRejection};
use transfer_workflow::{MaybeTransfer, TransferEvent};

fn requested() -> Flow<MaybeTransfer> {
    let event = Recorded {
        event: TransferEvent::TransferRequested {
            from: "a-1".into(),
            to: "a-2".into(),
            amount: 5,
        },
        decider: "transfer".into(),
        stream_id: "t-1".into(),
        version: 1,
        event_id: "00000000-0000-0000-0000-000000000001".into(),
        schema_version: 1,
        tags: vec![],
        created_ms: 0,
        metadata: vec![],
    };
    let mut flow = Flow::default();
    flow.evolve(&Input::new(0, News::Event(event)));
    flow
}

/// The one command that is to be sent: the id of its task, and its stream and name.
fn next(flow: &Flow<MaybeTransfer>) -> (String, String) {
    let [task] = flow.todo("t-1").try_into().unwrap();
    match task.action {
        Action::Send(order) => (task.id, format!("{} {}", order.stream_id, order.command)),
        Action::WaitUntil(time) => panic!("waits until {time}"),
    }
}

fn accept(flow: &mut Flow<MaybeTransfer>, expected: &str) {
    let (task, order) = next(flow);
    assert_eq!(order, expected);
    flow.evolve(&Input::new(0, News::Accepted { task }));
}

fn reject(flow: &mut Flow<MaybeTransfer>, expected: &str) {
    let (task, order) = next(flow);
    assert_eq!(order, expected);
    let rejection = TaskRejection {
        code: "not-open".into(),
        message: "the account is not open".into(),
        data: None,
    };
    flow.evolve(&Input::new(0, News::Rejected { task, rejection }));
}

#[test]
fn the_money_goes_from_one_account_to_the_other() {
    let mut flow = requested();
    accept(&mut flow, "a-1 Withdraw");
    accept(&mut flow, "a-2 Deposit");
    accept(&mut flow, "t-1 CompleteTransfer");
    assert_eq!(flow.todo("t-1"), []);
}

#[test]
fn money_that_is_not_taken_goes_back() {
    let mut flow = requested();
    accept(&mut flow, "a-1 Withdraw");
    reject(&mut flow, "a-2 Deposit");
    accept(&mut flow, "a-1 Deposit");
    accept(&mut flow, "t-1 FailTransfer");
    assert_eq!(flow.todo("t-1"), []);
}

#[test]
fn money_that_is_not_there_is_not_given_back() {
    let mut flow = requested();
    reject(&mut flow, "a-1 Withdraw");
    accept(&mut flow, "t-1 FailTransfer");
    assert_eq!(flow.todo("t-1"), []);
}
