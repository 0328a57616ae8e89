//! The price of an article, which was kept in whole euros first and is kept in cents now: an event
//! that has changed.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    SetPrice { cents: u64 },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    /// The event in version 2. Events in version 1 are in the streams for good, and come through
    /// `in_cents`.
    #[event(version = 2, upcast(1 = in_cents))]
    PriceSet { cents: u64 },
}

/// The data of `PriceSet` in version 1.
#[derive(Deserialize, JsonSchema)]
struct PriceInEuros {
    euros: u64,
}

/// The data of `PriceSet` in version 2. The type mirrors the variant, so that a third version can
/// leave this step unchanged.
#[derive(Serialize)]
struct PriceInCents {
    cents: u64,
}

fn in_cents(PriceInEuros { euros }: PriceInEuros) -> PriceInCents {
    PriceInCents {
        cents: euros.saturating_mul(100),
    }
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "nothing is free")]
    PriceIsZero,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Article {
    /// The price; none before the first one is set.
    cents: Option<u64>,
}

#[gavel::decider(name = "price", specs = "price.specs.yaml")]
impl Decider for Article {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::SetPrice { cents: 0 } => Err(Rejection::PriceIsZero),
            Command::SetPrice { cents } if self.cents == Some(cents) => Ok(vec![]),
            Command::SetPrice { cents } => Ok(vec![Event::PriceSet { cents }]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::PriceSet { cents } => self.cents = Some(*cents),
        }
    }
}
