//! Reminds customers of payments: twice, after a silence each, and gives up after a third one.

use std::time::Duration;

use gavel::{Input, JsonSchema, News, Order, Process, Task, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "payment")]
pub enum PaymentEvent {
    PaymentRequested {},
    PaymentReceived {},
    PaymentCancelled {},
}

#[derive(Serialize, gavel::Target)]
#[target(decider = "payment")]
pub enum PaymentCommand {
    RemindOfPayment {},
    CancelPayment {},
}

/// The time after which a customer who says nothing is asked again.
pub const SILENCE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

const REMINDERS: u32 = 2;

/// A payment that is awaited, or none.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Reminder {
    /// The end of the silence, while one is awaited.
    pub silent_until: Option<Timestamp>,
    /// The number of silences that have ended.
    pub silences: u32,
}

#[gavel::process(name = "payment-reminder", key = stream_id, sends(PaymentCommand))]
impl Process for Reminder {
    type Event = PaymentEvent;

    fn evolve(&mut self, input: &Input<PaymentEvent>) {
        match &input.what {
            News::Event(event) => match event.event {
                PaymentEvent::PaymentRequested {} => self.silent_until = Some(input.at + SILENCE),
                PaymentEvent::PaymentReceived {} | PaymentEvent::PaymentCancelled {} => {
                    *self = Self::default();
                }
            },
            News::Due { .. } => {
                self.silences += 1;
                let goes_on = self.silences <= REMINDERS;
                self.silent_until = goes_on.then(|| input.at + SILENCE);
            }
            // The payment is over, which its own events say, or a person takes care of it.
            News::Rejected { .. } | News::Accepted { .. } | News::Abandoned { .. } => {}
        }
    }

    fn todo(&self, key: &str) -> Vec<Task> {
        let mut tasks = Vec::new();
        match self.silences {
            0 => {}
            number @ 1..=REMINDERS => {
                let remind = Order::new(key, &PaymentCommand::RemindOfPayment {});
                tasks.push(Task::send(format!("remind-{number}"), remind));
            }
            _ => {
                let cancel = Order::new(key, &PaymentCommand::CancelPayment {});
                tasks.push(Task::send("cancel", cancel));
            }
        }
        if let Some(time) = self.silent_until {
            tasks.push(Task::wait_until("silence", time));
        }
        tasks
    }
}
