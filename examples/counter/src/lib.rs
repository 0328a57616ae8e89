//! The smallest decider: a counter that never falls below zero.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    Increment {},
    Decrement {},
    /// Sets the counter to zero, if it is not zero already.
    Reset {},
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    Incremented {},
    Decremented {},
    WasReset {},
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "the counter is at zero")]
    AtZero,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Counter {
    value: u64,
}

#[gavel::decider(name = "counter", specs = "counter.specs.yaml")]
impl Decider for Counter {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Increment {} => Ok(vec![Event::Incremented {}]),
            Command::Decrement {} if self.value == 0 => Err(Rejection::AtZero),
            Command::Decrement {} => Ok(vec![Event::Decremented {}]),
            Command::Reset {} if self.value == 0 => Ok(vec![]),
            Command::Reset {} => Ok(vec![Event::WasReset {}]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Incremented {} => self.value = self.value.saturating_add(1),
            Event::Decremented {} => self.value = self.value.saturating_sub(1),
            Event::WasReset {} => self.value = 0,
        }
    }
}
