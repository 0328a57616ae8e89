//! A payment: requested once, reminded of, and over when it is received or cancelled.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    /// Asks the customer for money.
    RequestPayment { customer: String, cents: u64 },
    /// Asks once more.
    RemindOfPayment {},
    /// Says that the money is there.
    ReceivePayment {},
    /// Asks no more.
    CancelPayment {},
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    PaymentRequested {
        customer: String,
        cents: u64,
    },
    PaymentReminded {},
    #[event(final)]
    PaymentReceived {},
    #[event(final)]
    PaymentCancelled {},
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "the payment was requested before")]
    AlreadyRequested,
    #[rejection(message = "no payment is awaited")]
    NotAwaited,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Payment {
    is_awaited: bool,
}

#[gavel::decider(name = "payment", specs = "payment.specs.yaml")]
impl Decider for Payment {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
        match (command, self.is_awaited) {
            (Command::RequestPayment { customer, cents }, false) => {
                Ok(vec![Event::PaymentRequested { customer, cents }])
            }
            (Command::RequestPayment { .. }, true) => Err(Rejection::AlreadyRequested),
            (_, false) => Err(Rejection::NotAwaited),
            (Command::RemindOfPayment {}, true) => Ok(vec![Event::PaymentReminded {}]),
            (Command::ReceivePayment {}, true) => Ok(vec![Event::PaymentReceived {}]),
            (Command::CancelPayment {}, true) => Ok(vec![Event::PaymentCancelled {}]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::PaymentRequested { .. } | Event::PaymentReminded {} => self.is_awaited = true,
            Event::PaymentReceived {} | Event::PaymentCancelled {} => self.is_awaited = false,
        }
    }
}
