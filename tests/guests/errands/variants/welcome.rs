//! Two steps: what is given to a new account, and taken from it again.

use errands::{AccountCommand, AccountEvent};
use gavel::{Input, JsonSchema, News, Order, Process, Task};
use serde::{Deserialize, Serialize};

/// An account that is new.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
struct Welcome {
    step: Step,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
enum Step {
    #[default]
    None,
    Give,
    Take,
}

#[gavel::process(name = "welcome", key = stream_id, sends(AccountCommand))]
impl Process for Welcome {
    type Event = AccountEvent;

    fn evolve(&mut self, input: &Input<AccountEvent>) {
        let News::Event(event) = &input.what else {
            return;
        };
        self.step = match (&event.event, &self.step) {
            (AccountEvent::Opened {}, Step::None) => Step::Give,
            (AccountEvent::Deposited {}, Step::Give) => Step::Take,
            (AccountEvent::Withdrawn {}, Step::Take) => Step::None,
            _ => return,
        };
    }

    fn todo(&self, key: &str) -> Vec<Task> {
        let (id, command) = match self.step {
            Step::None => return Vec::new(),
            Step::Give => ("give", AccountCommand::Deposit { amount: 1 }),
            Step::Take => ("take", AccountCommand::Withdraw { amount: 1 }),
        };
        vec![Task::send(id, Order::new(key, &command))]
    }
}
