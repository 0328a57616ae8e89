//! The rows of both versions: a counter, and how often it was reset.

use gavel::{Recorded, Row};
use serde::Deserialize;

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "counter")]
pub enum CounterEvent {
    Incremented {},
    Decremented {},
    WasReset {},
}

pub struct Tally {
    pub total: i64,
    pub resets: u64,
}

impl Tally {
    /// Folds an event, each step of which counts `step`.
    pub fn count(&mut self, event: &Recorded<CounterEvent>, step: i64) -> Row {
        match event.event {
            CounterEvent::Incremented {} => self.total += step,
            CounterEvent::Decremented {} => self.total -= step,
            CounterEvent::WasReset {} => {
                self.total = 0;
                self.resets += 1;
            }
        }
        Row::Keep
    }
}
