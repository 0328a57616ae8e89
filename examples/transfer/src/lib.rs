//! A transfer of money from one account to another: requested once, then completed or failed.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    /// Asks for the transfer.
    RequestTransfer {
        from: String,
        to: String,
        amount: u64,
    },
    /// Says that the money has arrived.
    CompleteTransfer {},
    /// Says that the money is where it was.
    FailTransfer {},
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    TransferRequested {
        from: String,
        to: String,
        amount: u64,
    },
    #[event(final)]
    TransferCompleted {},
    #[event(final)]
    TransferFailed {},
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "the transfer was requested before")]
    AlreadyRequested,
    #[rejection(message = "there is no such transfer")]
    NotRequested,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    is_underway: bool,
}

#[gavel::decider(name = "transfer", specs = "transfer.specs.yaml")]
impl Decider for Transfer {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
        match (command, self.is_underway) {
            (Command::RequestTransfer { from, to, amount }, false) => {
                Ok(vec![Event::TransferRequested { from, to, amount }])
            }
            (Command::RequestTransfer { .. }, true) => Err(Rejection::AlreadyRequested),
            (_, false) => Err(Rejection::NotRequested),
            (Command::CompleteTransfer {}, true) => Ok(vec![Event::TransferCompleted {}]),
            (Command::FailTransfer {}, true) => Ok(vec![Event::TransferFailed {}]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        self.is_underway = matches!(event, Event::TransferRequested { .. });
    }
}
