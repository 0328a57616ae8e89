use gavel::{Input, News, Order, Process, Recorded, Task, TaskRejection, Timestamp};
use payment_reminder::{PaymentCommand, PaymentEvent, Reminder, SILENCE};

const REQUESTED_AT: u64 = 1_796_043_909_250;

fn told(ms: u64, event: PaymentEvent) -> Input<PaymentEvent> {
    let event = Recorded {
        event,
        decider: "payment".into(),
        stream_id: "p-1".into(),
        version: 1,
        event_id: "00000000-0000-0000-0000-000000000001".into(),
        schema_version: 1,
        tags: vec![],
        created_ms: ms,
        metadata: vec![],
    };
    Input::new(ms, News::Event(event))
}

fn requested() -> Reminder {
    let mut reminder = Reminder::default();
    reminder.evolve(&told(REQUESTED_AT, PaymentEvent::PaymentRequested {}));
    reminder
}

/// Waits until the silence is over, a little late, as it may be.
fn wait(reminder: &mut Reminder) -> Timestamp {
    let time = reminder.silent_until.unwrap();
    let task = "silence".into();
    let late = Input::new(time.as_ms() + 20, News::Due { task, time });
    reminder.evolve(&late);
    late.at
}

fn send(id: &str, command: &PaymentCommand) -> Task {
    Task::send(id, Order::new("p-1", command))
}

#[test]
fn a_customer_is_reminded_twice_and_then_it_is_over() {
    let mut reminder = requested();
    let silence = |since| Task::wait_until("silence", since + SILENCE);
    let requested_at = Timestamp::from_ms(REQUESTED_AT);
    assert_eq!(reminder.todo("p-1"), [silence(requested_at)]);
    for id in ["remind-1", "remind-2"] {
        let at = wait(&mut reminder);
        let remind = send(id, &PaymentCommand::RemindOfPayment {});
        assert_eq!(reminder.todo("p-1"), [remind, silence(at)]);
    }
    wait(&mut reminder);
    let cancel = send("cancel", &PaymentCommand::CancelPayment {});
    assert_eq!(reminder.todo("p-1"), [cancel]);
    reminder.evolve(&told(REQUESTED_AT, PaymentEvent::PaymentCancelled {}));
    assert_eq!(reminder.todo("p-1"), []);
}

#[test]
fn nobody_is_reminded_of_what_is_paid() {
    let mut reminder = requested();
    wait(&mut reminder);
    let listed = reminder.todo("p-1");
    // The money came while the reminder was on its way.
    let rejection = TaskRejection {
        code: "stream-final".into(),
        message: "the stream has ended".into(),
        data: None,
    };
    let task = "remind-1".into();
    reminder.evolve(&Input::new(0, News::Rejected { task, rejection }));
    assert_eq!(reminder.todo("p-1"), listed);
    reminder.evolve(&told(REQUESTED_AT, PaymentEvent::PaymentReceived {}));
    assert_eq!(reminder.todo("p-1"), []);
}
